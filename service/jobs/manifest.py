"""Manifest: the truth about a job, one JSON object beside its upload. The store can be made again from it.

Written at acceptance, after planning and at the end, no more: progress and leases live in the store alone.
Not here: how a plan is made (worker/job/plan.py), how the store is rebuilt from manifests (housekeeping/).
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from service.errors import UnknownJob
from service.formats import MediaKind
from service.jobs import keys
from service.jobs.model import Job, Record
from service.objects.base import NotFound, Storage


class Segment(Record):
    """Frames [frame_start, frame_stop) of one job; they run from the state its predecessor stored."""

    index: int = Field(ge=0)
    frame_start: int = Field(ge=0)
    frame_stop: int
    follows: int | None = None  # segment whose state this one starts from; None at the start of a shot

    @property
    def frame_count(self) -> int:
        return self.frame_stop - self.frame_start


class Plan(Record):
    """Everything a worker needs to do its part, so that any of them does the same thing."""

    kind: MediaKind
    source: dict[str, Any]  # worker.media.types.Source as JSON
    timeline: dict[str, Any] = Field(
        default_factory=dict
    )  # worker.media.types.Timeline as JSON; empty for a picture
    segments: tuple[Segment, ...]
    model: str
    version: str
    backend: str  # pinned with the precision: another one rounds differently
    precision: Literal["float32", "bfloat16", "float16", "int8"]
    codec: str | None = None  # None for a picture
    container: str  # extension of the result
    notices: tuple[str, ...] = ()  # what was converted or dropped, in words for the owner

    @property
    def frame_count(self) -> int:
        return self.segments[-1].frame_stop

    @model_validator(mode="after")
    def _check_that_segments_cover_every_frame_once(self) -> Self:
        if not self.segments:
            raise ValueError("a plan has at least one segment")
        frame_next = 0
        for index, segment in enumerate(self.segments):
            if segment.index != index or segment.frame_start != frame_next:
                raise ValueError(f"segment {index} does not begin where the one before it ends")
            if segment.frame_count < 1:
                raise ValueError(f"segment {index} holds no frame")
            # A chain runs on consecutive frames, so a state has one reader and can go when that one is done.
            if segment.follows is not None and (segment.follows != index - 1 or index == 0):
                raise ValueError(f"segment {index} can only follow the one before it")
            frame_next = segment.frame_stop
        return self


class Manifest(Record):
    format_version: Literal[1] = 1
    job: Job
    plan: Plan | None = None  # None until planned
    idempotency_key: str | None = None


def save(storage: Storage, manifest: Manifest) -> None:
    """Whole or not at all: a reader sees the old manifest or the new one."""
    storage.put(keys.manifest_key(manifest.job.id), manifest.model_dump_json().encode())


def load(storage: Storage, job_id: str) -> Manifest:
    """Raises UnknownJob when there is none."""
    try:
        return Manifest.model_validate_json(storage.get(keys.manifest_key(job_id)))
    except NotFound as missing:
        raise UnknownJob("There is no such job.", field="id", value=job_id) from missing


def forget(storage: Storage, job_id: str) -> None:
    """Remove a job's objects. Its manifest goes first, else a rebuild in between would bring the job back."""
    storage.delete(keys.manifest_key(job_id))
    storage.delete_prefix(keys.job_prefix(job_id))
