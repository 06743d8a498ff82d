"""Jobs: one, a page of them, and how one is cancelled or deleted.

Not here: what is shown of a job (shown/views.py), which are listed (shown/listing.py), progress as a stream
(events.py), the bytes of a result (results.py) or of a preview (previews.py).
"""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from service.api.answers import PREFERENCE_APPLIED, UsedAnswers
from service.api.callers import Caller, UsedCaller
from service.api.dependencies import Services, UsedServices, in_thread
from service.api.problems.answering import problem_responses
from service.api.shown.listing import Wanted, page
from service.api.shown.showing import show
from service.api.shown.views import JobView, UsedViewer
from service.errors import UnknownJob
from service.jobs import manifest
from service.jobs.ending import clear, end, erase
from service.jobs.ids import is_job_id
from service.jobs.index import Placed
from service.jobs.model import Job
from service.jobs.states import JobEvent

router = APIRouter(tags=["jobs"])


class JobPage(BaseModel):
    jobs: list[JobView]
    next: str | None = Field(description="Cursor of the next page; null after the last.")


@router.get("/jobs", summary="List jobs, newest first", responses=problem_responses(422, 503))
async def list_jobs(
    services: UsedServices, caller: UsedCaller, viewer: UsedViewer, wanted: Annotated[Wanted, Query()]
) -> JobPage:
    jobs, following = await in_thread(page, services.store, caller, wanted)
    return JobPage(jobs=await show(services, viewer, jobs), next=following)


@router.get(
    "/jobs/{job_id}",
    summary="Look at a job",
    responses={200: {"headers": PREFERENCE_APPLIED}, **problem_responses(404, 503)},
)
async def get_job(job_id: str, services: UsedServices, caller: UsedCaller, answers: UsedAnswers) -> JobView:
    """`Retry-After` tells when it is worth looking again; it is absent once the job has ended."""
    return await answers.found(await look(services, caller, job_id))


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job", responses=problem_responses(404, 503))
async def cancel_job(job_id: str, services: UsedServices, caller: UsedCaller, viewer: UsedViewer) -> JobView:
    """It frees the device at its next frame, its files go and its record stays; one that is over stays so."""
    return viewer.show(await in_thread(_cancel, services, caller, job_id))


@router.delete(
    "/jobs/{job_id}",
    status_code=204,
    summary="Delete a job with all its files",
    responses=problem_responses(404, 503),
)
async def delete_job(job_id: str, services: UsedServices, caller: UsedCaller) -> None:
    """No trace of it is left; one that is not over is cancelled first."""
    await in_thread(_erase, services, caller, job_id)


async def look(services: Services, caller: Caller, job_id: str) -> Placed:
    """As `find`, with its place in line."""
    placed = await services.looks.at(job_id)
    if placed is None:
        placed = Placed(await in_thread(find, services, caller, job_id))
    caller.require(placed.job)
    return placed


def find(services: Services, caller: Caller, job_id: str) -> Job:
    """The job as the store has it; one that the store lost as its manifest has it. It blocks.

    Raises UnknownJob, also for a job that is not the caller's.
    """
    try:
        job = services.store.get(job_id)
    except UnknownJob:
        if not is_job_id(job_id):
            raise
        job = manifest.load(services.storage, job_id).standing()
    return caller.require(job)


def _cancel(services: Services, caller: Caller, job_id: str) -> Job:
    """A job that ends in another way in this very moment keeps that end, and its result."""
    job = find(services, caller, job_id)
    if not job.state.is_terminal:
        return end(services.store, services.storage, job, JobEvent.CANCEL)
    clear(services.storage, job)  # an earlier try may have failed half-way
    return job


def _erase(services: Services, caller: Caller, job_id: str) -> None:
    erase(services.store, services.storage, find(services, caller, job_id))
