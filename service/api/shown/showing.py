"""Showing: jobs as their sender sees them, with what the store alone knows of them.

Not here: what is shown of a job by itself (views.py).
"""

from collections.abc import Sequence
from contextlib import suppress

from service.api.dependencies import Services, in_thread
from service.api.shown.views import JobView, Viewer
from service.errors import TransientError
from service.jobs.model import Job
from service.jobs.states import JobState


async def show(services: Services, viewer: Viewer, jobs: Sequence[Job]) -> list[JobView]:
    positions = await in_thread(positions_of, services, jobs) if any(map(_is_queued, jobs)) else {}
    return [viewer.show(job, position=positions.get(job.id)) for job in jobs]


def positions_of(services: Services, jobs: Sequence[Job]) -> dict[str, int]:
    """Of those that have one. Blocks."""
    queued = [job.id for job in jobs if _is_queued(job)]
    if not queued:
        return {}
    with suppress(TransientError):  # the job itself is known, and that is what was asked for
        return services.store.positions(queued)
    return {}


def _is_queued(job: Job) -> bool:
    return job.state is JobState.QUEUED


async def show_one(services: Services, viewer: Viewer, job: Job) -> JobView:
    (shown,) = await show(services, viewer, [job])
    return shown
