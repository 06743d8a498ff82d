"""GET /jobs/{id}/events: state and progress as server-sent events, until the job has ended.

Each event carries the whole job, so a client that missed some has missed nothing. The store is asked; nothing
is pushed, so any API process can serve any job and a worker need not know who listens.
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from service.api.callers import UsedCaller
from service.api.dependencies import Services, UsedServices
from service.api.problems.answering import problem_responses
from service.api.routes.jobs import look
from service.api.shown.views import UsedViewer, Viewer
from service.errors import StoreUnavailable
from service.jobs.index import Placed
from service.jobs.model import Job

router = APIRouter(tags=["jobs"])

POLL_S = 0.25  # how late a change may be seen
REPEAT_S = 1.0  # unchanged, the job is sent again: progress at least once a second, and a sign of life
RETRY_MS = 1000  # what a browser waits before it connects again


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One `job` event at each change and at least once a second; ends with the job.",
            "content": {
                "text/event-stream": {
                    "schema": {
                        "type": "object",
                        "description": "One event: `data` is the job, as `GET /jobs/{id}` gives it.",
                        "required": ["event", "data"],
                        "properties": {
                            "event": {"const": "job"},
                            "data": {
                                "type": "string",
                                "contentMediaType": "application/json",
                                "contentSchema": {"$ref": "#/components/schemas/JobView"},
                            },
                        },
                    }
                }
            },
        },
        **problem_responses(404, 503),
    },
)
async def follow_job(
    job_id: str, services: UsedServices, caller: UsedCaller, viewer: UsedViewer
) -> StreamingResponse:
    placed = await look(services, caller, job_id)  # an unknown job is a 404, not an empty stream
    services.followers.require_one()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _counted_events(services, placed, viewer), media_type="text/event-stream", headers=headers
    )


async def _counted_events(services: Services, placed: Placed, viewer: Viewer) -> AsyncIterator[str]:
    """The place is taken by what certainly gives it back: a response that is never sent would not."""
    with services.followers.one():
        async for event in _events(services, placed, viewer):
            yield event


async def _events(services: Services, placed: Placed, viewer: Viewer) -> AsyncIterator[str]:
    """Ends at the terminal state, or with the server. A client that leaves cancels it at the next await."""
    loop = asyncio.get_running_loop()
    yield f"retry: {RETRY_MS}\n\n"
    shown: Job | None = None
    shown_at = loop.time()
    while True:
        job = placed.job
        if job != shown or loop.time() - shown_at >= REPEAT_S:
            shown, shown_at = job, loop.time()
            view = viewer.show(job, position=placed.position)
            yield f"event: job\ndata: {view.model_dump_json()}\n\n"
        if job.state.is_terminal or services.stopping.is_set():
            return
        await asyncio.sleep(POLL_S)
        try:
            seen = await services.looks.at(job.id)
        except StoreUnavailable:  # it may be back in a moment; the client hears that we are still there
            yield ": the store does not answer\n\n"
            continue
        if seen is None:  # deleted while we looked
            return
        placed = seen
