"""Views: a job as the API shows it, in answers, events and webhooks.

Not here: which jobs a caller may see (callers.py), and what a finished job reports (service/jobs/report.py).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.dependencies import root_of, services_of
from service.formats import MediaKind
from service.jobs.model import Job, JobError, Options, Purpose
from service.jobs.report import Report
from service.jobs.states import JobState

EXAMPLE_ID = "06b4n2p8fgr5q3v7m1k0t9s4e2d6c8a0hjgu"
_WITHOUT_FILES = (JobState.CANCELLED, JobState.EXPIRED)
RATE_S_MIN = 1.0  # a rate over less of a job that goes on says nothing


class Progress(BaseModel):
    frames_done: int
    frames_total: int | None = Field(description="Null until the file has been looked into.")
    ratio: float | None = Field(description="From 0 to 1.")
    frames_per_s: float | None = Field(
        default=None, description="Since the frames could be upscaled; of a job that is over, in all."
    )
    remaining_s: float | None = Field(
        default=None, description="Seconds until all frames are done, if it goes on as so far."
    )


class Links(BaseModel):
    self: str
    events: str
    input: str | None = Field(default=None, description="What was uploaded, while it is kept.")
    preview: str | None = Field(default=None, description="Set once a frame is finished.")
    result: str | None = Field(default=None, description="Set once there is a result.")
    webhooks: str | None = Field(default=None, description="What the job's webhook was told.")


class Times(BaseModel):
    """The times of a job as RFC 3339 has them."""

    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None


class JobView(BaseModel):
    """A job as the API shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": EXAMPLE_ID,
                "state": "running",
                "is_terminal": False,
                "kind": "video",
                "purpose": "upscale",
                "options": {"scale": 4},
                "metadata": {"album": "holiday"},
                "filename": "clip.mp4",
                "size_bytes": 1843200,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "created_at": 1790000000.0,
                "updated_at": 1790000004.2,
                "started_at": 1790000000.5,
                "times": {
                    "created_at": "2026-09-21T14:13:20Z",
                    "updated_at": "2026-09-21T14:13:24.200000Z",
                    "started_at": "2026-09-21T14:13:20.500000Z",
                },
                "progress": {
                    "frames_done": 96,
                    "frames_total": 240,
                    "ratio": 0.4,
                    "frames_per_s": 30.0,
                    "remaining_s": 4.8,
                },
                "model": "teco-lite",
                "version": "c51f43010195c099",
                "links": {
                    "self": f"/jobs/{EXAMPLE_ID}",
                    "events": f"/jobs/{EXAMPLE_ID}/events",
                    "input": f"/jobs/{EXAMPLE_ID}/input",
                    "preview": f"/jobs/{EXAMPLE_ID}/preview",
                },
            }
        }
    )

    id: str
    state: JobState
    is_terminal: bool = Field(description="Whether it is over: only its result may still go.")
    kind: MediaKind
    purpose: Purpose = Field(
        description="An estimate has a report and no result; a sample has that of three seconds."
    )
    options: Options
    metadata: dict[str, str] = Field(description="What its sender noted with it.")
    webhook: str | None = Field(default=None, description="Address that is told of its end.")
    filename: str
    size_bytes: int
    sha256: str = Field(description="Digest of the upload.")
    created_at: float = Field(description="Seconds since 1970, UTC; so are all times that are numbers.")
    updated_at: float
    started_at: float | None = Field(default=None, description="When a worker first looked into the file.")
    finished_at: float | None = Field(default=None, description="When the job ended.")
    expires_at: float | None = Field(
        default=None,
        description="When the result goes, or the record of a job that has none; set at its end.",
    )
    queue_position: int | None = Field(
        default=None,
        description="How many jobs came before it and have not begun either; null once it has. Turns go by "
        "what jobs cost and whose they are, so one that came later may begin first.",
    )
    times: Times
    progress: Progress
    model: str | None = None
    version: str | None = Field(default=None, description="Of the model, pinned when the job was planned.")
    error: JobError | None = Field(default=None, description="Why the job failed.")
    report: Report | None = Field(
        default=None, description="What was kept, converted and dropped; whole once the job has succeeded."
    )
    links: Links


@dataclass(frozen=True, slots=True)
class Viewer:
    """Shows jobs to one client.

    root           path that all of ours begin with as this client knows them
    result_ttl_s   how long a finished job is kept whose sender asked for no less
    """

    root: str
    result_ttl_s: float

    def show(self, job: Job, *, position: int | None = None) -> JobView:
        finished_at = _finished_at(job)
        expires_at = None if finished_at is None else finished_at + self._ttl_s(job)
        return JobView(
            id=job.id,
            state=job.state,
            is_terminal=job.state.is_terminal,
            kind=job.kind,
            purpose=job.purpose,
            options=job.options,
            metadata=job.handling.metadata,
            webhook=job.handling.webhook,
            filename=job.filename,
            size_bytes=job.size_bytes,
            sha256=job.sha256,
            created_at=job.created_at,
            updated_at=job.updated_at,
            started_at=job.started_at,
            finished_at=finished_at,
            expires_at=expires_at,
            queue_position=position,
            times=Times(
                created_at=date_of(job.created_at),
                updated_at=date_of(job.updated_at),
                started_at=_date(job.started_at),
                finished_at=_date(finished_at),
                expires_at=_date(expires_at),
            ),
            progress=_progress(job),
            model=job.model,
            version=job.version,
            error=job.error,
            report=cast(Report | None, job.report),
            links=self._links(job),
        )

    def _ttl_s(self, job: Job) -> float:
        return min(job.handling.ttl or self.result_ttl_s, self.result_ttl_s)

    def _links(self, job: Job) -> Links:
        has_result = job.state is JobState.SUCCEEDED and not job.is_estimate
        has_frames = has_result or job.frames_done > 0
        here = f"{self.root}/jobs/{job.id}"
        return Links(
            self=here,
            events=f"{here}/events",
            input=None if job.state in _WITHOUT_FILES else f"{here}/input",
            preview=f"{here}/preview" if has_frames and job.state not in _WITHOUT_FILES else None,
            result=f"{here}/result" if has_result else None,
            webhooks=None if job.handling.webhook is None else f"{here}/webhooks",
        )


def viewer_of(request: Request) -> Viewer:
    """For the client that asks."""
    return Viewer(root_of(request), services_of(request).settings.result_ttl_s)


async def _viewer(request: Request) -> Viewer:
    return viewer_of(request)


UsedViewer = Annotated[Viewer, Depends(_viewer)]


def _finished_at(job: Job) -> float | None:
    """Jobs that a former version ended have no such time, but were last changed then, unless they expired."""
    if job.finished_at is None and job.state.is_terminal and job.state is not JobState.EXPIRED:
        return job.updated_at
    return job.finished_at


def _progress(job: Job) -> Progress:
    ratio = rate = remaining_s = None
    if job.state is JobState.SUCCEEDED:
        ratio = 1.0
    elif job.frames_total:
        ratio = round(min(1.0, job.frames_done / job.frames_total), 4)
    if job.planned_at is not None and job.frames_done:
        # By times of the store alone: progress sets the last of them, so no clock is asked.
        took_s = (job.finished_at or job.updated_at) - job.planned_at
        if took_s >= RATE_S_MIN or (job.state.is_terminal and took_s > 0):
            rate = job.frames_done / took_s
    if rate and job.frames_total and job.state is JobState.RUNNING:
        remaining_s = round(max(0, job.frames_total - job.frames_done) / rate, 1)
    return Progress(
        frames_done=job.frames_done,
        frames_total=job.frames_total,
        ratio=ratio,
        frames_per_s=None if rate is None else round(rate, 2),
        remaining_s=remaining_s,
    )


def _date(seconds: float | None) -> datetime | None:
    return None if seconds is None else date_of(seconds)


def date_of(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
