"""Jobs: what a client sees of one, a page of them, and how it cancels or deletes one.

Not here: progress as a stream (events.py), the bytes of a result (results.py) or of a preview (previews.py).
"""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.callers import Caller, UsedCaller
from service.api.dependencies import Services, UsedRoot, UsedServices, in_thread
from service.api.problems import problem_responses
from service.errors import UnknownJob
from service.formats import MediaKind
from service.jobs import manifest
from service.jobs.ending import clear, end, erase
from service.jobs.model import Job, JobError, Options, is_job_id
from service.jobs.report import Report
from service.jobs.states import JobEvent, JobState

router = APIRouter(tags=["jobs"])

POLL_AFTER_S = 1  # progress is written at least once a second
PAGE_JOBS_MAX = 100
LOOKS_MAX = 50  # into the list of all jobs, for one page of a caller's own

_EXAMPLE_ID = "06b4n2p8fgr5q3v7m1k0t9s4e2d6c8a0hjgu"


class Progress(BaseModel):
    frames_done: int
    frames_total: int | None = Field(description="Null until the file has been looked into.")
    ratio: float | None = Field(description="From 0 to 1.")


class Links(BaseModel):
    self: str
    events: str
    input: str | None = Field(default=None, description="What was uploaded, while it is kept.")
    preview: str | None = Field(default=None, description="Set once a frame is finished.")
    result: str | None = Field(default=None, description="Set once there is a result.")


class JobView(BaseModel):
    """A job as the API shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _EXAMPLE_ID,
                "state": "running",
                "kind": "video",
                "options": {"scale": 4},
                "filename": "clip.mp4",
                "size_bytes": 1843200,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "created_at": 1790000000.0,
                "updated_at": 1790000004.2,
                "progress": {"frames_done": 96, "frames_total": 240, "ratio": 0.4},
                "model": "teco-lite",
                "version": "c51f43010195c099",
                "links": {
                    "self": f"/jobs/{_EXAMPLE_ID}",
                    "events": f"/jobs/{_EXAMPLE_ID}/events",
                    "input": f"/jobs/{_EXAMPLE_ID}/input",
                    "preview": f"/jobs/{_EXAMPLE_ID}/preview",
                },
            }
        }
    )

    id: str
    state: JobState
    kind: MediaKind
    options: Options
    filename: str
    size_bytes: int
    sha256: str = Field(description="Digest of the upload.")
    created_at: float = Field(description="Seconds since 1970, UTC; so are all times.")
    updated_at: float
    progress: Progress
    model: str | None = None
    version: str | None = Field(default=None, description="Of the model, pinned when the job was planned.")
    error: JobError | None = Field(default=None, description="Why the job failed.")
    report: Report | None = Field(
        default=None, description="What was kept, converted and dropped; whole once the job has succeeded."
    )
    links: Links


class JobPage(BaseModel):
    jobs: list[JobView]
    next: str | None = Field(description="Cursor of the next page; null after the last.")


def view(job: Job, root: str) -> JobView:
    ratio = None
    if job.state is JobState.SUCCEEDED:
        ratio = 1.0
    elif job.frames_total:
        ratio = round(min(1.0, job.frames_done / job.frames_total), 4)
    has_frames = job.state is JobState.SUCCEEDED or job.frames_done > 0
    here = f"{root}/jobs/{job.id}"
    return JobView(
        **job.model_dump(exclude={"frames_done", "frames_total", "result_key", "owner", "options", "error"}),
        options=job.options,
        error=job.error,
        progress=Progress(frames_done=job.frames_done, frames_total=job.frames_total, ratio=ratio),
        links=Links(
            self=here,
            events=f"{here}/events",
            input=None if job.state in (JobState.CANCELLED, JobState.EXPIRED) else f"{here}/input",
            preview=f"{here}/preview" if has_frames and job.state is not JobState.EXPIRED else None,
            result=f"{here}/result" if job.state is JobState.SUCCEEDED else None,
        ),
    )


@router.get("/jobs", summary="List jobs, newest first", responses=problem_responses(422, 503))
async def list_jobs(
    services: UsedServices,
    caller: UsedCaller,
    root: UsedRoot,
    limit: Annotated[int, Query(ge=1, le=PAGE_JOBS_MAX)] = 20,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> JobPage:
    jobs, following = await in_thread(_page, services, caller, limit, cursor)
    return JobPage(jobs=[view(job, root) for job in jobs], next=following)


@router.get("/jobs/{job_id}", summary="Look at a job", responses=problem_responses(404, 503))
async def get_job(
    job_id: str, response: Response, services: UsedServices, caller: UsedCaller, root: UsedRoot
) -> JobView:
    """`Retry-After` tells when it is worth looking again; it is absent once the job has ended."""
    job = await in_thread(find, services, caller, job_id)
    if not job.state.is_terminal:
        response.headers["Retry-After"] = str(POLL_AFTER_S)
    return view(job, root)


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job", responses=problem_responses(404, 503))
async def cancel_job(job_id: str, services: UsedServices, caller: UsedCaller, root: UsedRoot) -> JobView:
    """It frees the device at its next frame, its files go and its record stays; one that is over stays so."""
    return view(await in_thread(_cancel, services, caller, job_id), root)


@router.delete(
    "/jobs/{job_id}",
    status_code=204,
    summary="Delete a job with all its files",
    responses=problem_responses(404, 503),
)
async def delete_job(job_id: str, services: UsedServices, caller: UsedCaller) -> None:
    """No trace of it is left; one that is not over is cancelled first."""
    await in_thread(_erase, services, caller, job_id)


def find(services: Services, caller: Caller, job_id: str) -> Job:
    """The job as the store has it; one that the store lost as its manifest has it.

    Raises UnknownJob, also for a job that is not the caller's.
    """
    try:
        job = services.store.get(job_id)
    except UnknownJob:
        if not is_job_id(job_id):
            raise
        job = manifest.load(services.storage, job_id).standing()
    return caller.require(job)


def _page(services: Services, caller: Caller, limit: int, cursor: str | None) -> tuple[list[Job], str | None]:
    """Jobs of the caller. Many of others in between make a page short that is not the last."""
    found: list[Job] = []
    for _ in range(LOOKS_MAX):
        jobs, cursor = services.store.list(limit - len(found), cursor)
        found += [job for job in jobs if caller.may_use(job)]
        if len(found) == limit or cursor is None:
            break
    return found, cursor


def _cancel(services: Services, caller: Caller, job_id: str) -> Job:
    """A job that ends in another way in this very moment keeps that end, and its result."""
    job = find(services, caller, job_id)
    if not job.state.is_terminal:
        return end(services.store, services.storage, job, JobEvent.CANCEL)
    clear(services.storage, job)  # an earlier try may have failed half-way
    return job


def _erase(services: Services, caller: Caller, job_id: str) -> None:
    erase(services.store, services.storage, find(services, caller, job_id))
