"""Manifest: the truth about a job, JSON beside its upload. The store can be made again from it.

Written at acceptance, after planning a video and at the end: progress and leases are the store's alone.
Each time it is an object of its own that only appears where none is, so of several who plan or end a job the
first is right, and none can overwrite what another wrote. The latest of the three is the manifest.

Not here: how a plan is made (worker/job/steps/plan.py), what an end brings with it (ending.py), how the store
is rebuilt from manifests (housekeeping/).
"""

from contextlib import suppress
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from service.auto import share_of
from service.errors import UnknownJob
from service.formats import MediaKind
from service.jobs import keys
from service.jobs.model import Job, Record
from service.jobs.states import JobState
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
    model_reason: str | None = None  # why the service took it; None where the sender or the operator did
    strength: int | None = Field(default=None, ge=0, le=100)  # percent; None in former plans
    backend: str  # pinned with the precision: another one rounds differently
    precision: Literal["float32", "bfloat16", "float16", "int8"]
    codec: str | None = None  # None for a picture
    container: str  # extension of the result
    lead_in: int = 0  # frames that lead into a shot at most; none in plans of former versions
    notices: tuple[str, ...] = ()  # what was converted or dropped, in words for the owner

    @property
    def frame_count(self) -> int:
        return self.segments[-1].frame_stop

    @property
    def runtime(self) -> str:
        """What decides how numbers are rounded: where the segments are to run (service/jobs/turns.py)."""
        return f"{self.backend} {self.precision}"

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

    @property
    def share(self) -> float:
        """How much of what the model made is shown: as planned, or, by a former version's plan, as asked."""
        pinned = None if self.plan is None else self.plan.strength
        return share_of(self.job.options.strength if pinned is None else pinned)

    def standing(self) -> Job:
        """The job as far as the manifest knows: what has a plan goes on running from it."""
        if self.job.state.is_terminal:
            return self.job
        if self.plan is None:
            return self.job.model_copy(update={"state": JobState.QUEUED, "frames_done": 0})
        planned = {
            "frames_total": self.plan.frame_count,
            "model": self.plan.model,
            "version": self.plan.version,
        }
        return self.job.model_copy(update={"state": JobState.RUNNING, "frames_done": 0, **planned})


def save(storage: Storage, manifest: Manifest) -> None:
    """The manifest of a job that is being accepted."""
    storage.put(keys.manifest_key(manifest.job.id), _encoded(manifest))


def settle_plan(storage: Storage, found: Manifest, plan: Plan) -> Plan:
    """Record what was planned, unless a plan is recorded: the first one stands, and is returned."""
    if storage.put_if_absent(
        keys.planned_key(found.job.id), _encoded(found.model_copy(update={"plan": plan}))
    ):
        return plan
    stands = load(storage, found.job.id).plan
    return stands or plan  # an end that came before any plan is told to the step by its lease


def settle_end(storage: Storage, job: Job) -> Manifest:
    """Record how the job ended, unless that is recorded: the first end stands, and is returned."""
    try:
        found = load(storage, job.id)
    except UnknownJob:  # then there is nothing that the job could be rebuilt from either
        return Manifest(job=job)
    if found.job.state.is_terminal:
        return found
    ended = found.model_copy(update={"job": job})
    # A storage that is asked again, because its answer got lost, says that there is one: ours.
    return ended if storage.put_if_absent(keys.ended_key(job.id), _encoded(ended)) else load(storage, job.id)


def load(storage: Storage, job_id: str) -> Manifest:
    """Raises UnknownJob when there is none."""
    for key in (keys.ended_key(job_id), keys.planned_key(job_id), keys.manifest_key(job_id)):
        with suppress(NotFound):
            return Manifest.model_validate_json(storage.get(key))
    raise UnknownJob("There is no such job.", field="id", value=job_id)


def load_end(storage: Storage, job_id: str) -> Manifest | None:
    """The manifest when it says that the job is over."""
    try:
        return Manifest.model_validate_json(storage.get(keys.ended_key(job_id)))
    except NotFound:
        return None


def forget(storage: Storage, job_id: str) -> None:
    """Remove a job's objects. Its manifest goes first, else a rebuild in between would bring the job back; of
    that the end goes last, else the job would seem to go on."""
    _forget_manifest(storage, job_id)
    storage.delete_prefix(keys.job_prefix(job_id))


def forget_all_but_webhooks(storage: Storage, job_id: str) -> None:
    """Remove the objects of a job whose record the store keeps: its receiver is still to be told."""
    _forget_manifest(storage, job_id)
    for key in list(storage.list(keys.job_prefix(job_id))):
        if key != keys.webhooks_key(job_id):
            storage.delete(key)


def _forget_manifest(storage: Storage, job_id: str) -> None:
    for key in (keys.manifest_key(job_id), keys.planned_key(job_id), keys.ended_key(job_id)):
        storage.delete(key)


def _encoded(manifest: Manifest) -> bytes:
    return manifest.model_dump_json().encode()
