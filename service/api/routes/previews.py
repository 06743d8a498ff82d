"""GET and HEAD /jobs/{id}/preview: the frame finished last, as the worker that made it left it in storage.

It changes while the job runs, so a client asks each time and hears 304 when nothing is new.
"""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.callers import Caller, UsedCaller
from service.api.conditions import names
from service.api.dependencies import Services, UsedServices, in_thread
from service.api.openapi import BINARY
from service.api.problems.answering import problem_responses
from service.api.routes.jobs import find
from service.errors import NoPreview, ResultExpired
from service.jobs import keys
from service.jobs.states import JobState
from service.objects.base import NotFound

router = APIRouter(tags=["jobs"])

MEDIA_TYPE = "image/jpeg"


@router.get(
    "/jobs/{job_id}/preview",
    summary="See how a job is coming out",
    response_class=Response,
    responses={
        200: {
            "description": "The frame finished last, at most 1280 pixels a side, or two such.",
            "content": {MEDIA_TYPE: BINARY},
        },
        304: {"description": "Unchanged since the ETag in If-None-Match."},
        **problem_responses(404, 410, 422, 503),
    },
)
@router.head("/jobs/{job_id}/preview", include_in_schema=False)
async def get_preview(
    job_id: str,
    request: Request,
    services: UsedServices,
    caller: UsedCaller,
    before: Annotated[
        bool,
        Query(description="With what it was made of on its left, equally large: twice as wide."),
    ] = False,
) -> Response:
    """It is renewed every few seconds while the job runs, and stays as long as the result."""
    content = await in_thread(_read, services, caller, job_id, before)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if names(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(len(content))
    body = b"" if request.method == "HEAD" else content
    return Response(body, headers=headers, media_type=MEDIA_TYPE)


def _read(services: Services, caller: Caller, job_id: str, before: bool) -> bytes:
    job = find(services, caller, job_id)
    if job.state is JobState.EXPIRED:
        raise ResultExpired("the result and its preview were removed", field="id", value=job_id)
    try:
        return services.storage.get((keys.pair_key if before else keys.preview_key)(job_id))
    except NotFound as missing:
        message = f"there is no preview: the job is {job.state.value}"
        raise NoPreview(message, field="state", value=job.state.value) from missing
