"""POST /upscale and POST /estimate: an upload becomes a whole object in storage, or nothing, and then a job.

Not here: reading the form (intake/reading.py), and what makes the job safe (accepting.py).
"""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request

from service import metrics
from service.api.accepting import (
    IDEMPOTENCY_PARAMETER,
    accept,
    check_field,
    idempotency_key,
    refuse_over_quota,
    refuse_when_full,
)
from service.api.answers import ACCEPTED, UsedAnswers
from service.api.callers import Caller, UsedCaller
from service.api.dependencies import Services, UsedServices, in_thread
from service.api.intake import reading as intake
from service.api.intake import whole
from service.api.intake.fetching import fetch
from service.api.intake.fields import form_schema
from service.api.intake.reading import Named, Received
from service.api.problems.answering import problem_responses
from service.api.routes.pieces import find
from service.api.shown.views import JobView
from service.errors import InvalidOption, UploadTooLarge
from service.jobs import keys
from service.jobs.ids import new_job_id
from service.jobs.model import Job
from service.uploads.records import data_key

router = APIRouter(tags=["jobs"])

LENGTH_DIGITS_MAX = 20
ESTIMATE_WAIT_S = 20  # a worker looks into a file within a second, when it has none to fetch first

_OPENAPI: Final[dict[str, Any]] = {
    "parameters": [IDEMPOTENCY_PARAMETER],
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": form_schema()}},
    },
}

_ANSWERS: Final = {**ACCEPTED, **problem_responses(400, 404, 409, 413, 415, 422, 503, 507)}


@router.post(
    "/upscale",
    status_code=202,
    summary="Upload a video or a picture to be upscaled",
    openapi_extra=_OPENAPI,
    responses=_ANSWERS,
)
async def upscale(
    request: Request,
    services: UsedServices,
    caller: UsedCaller,
    answers: UsedAnswers,
) -> JobView:
    """Send the file, or where it lies, and the options as one form, in any order.

    The answer comes as soon as the job is safe. Poll its address, or listen to its events, until it has
    succeeded; then fetch the result.
    """
    return await answers.accepted(await _make_job(request, services, caller))


@router.post(
    "/estimate",
    status_code=202,
    summary="Tell what a video or a picture would come to, without upscaling it",
    openapi_extra=_OPENAPI,
    responses=_ANSWERS,
)
async def estimate(
    request: Request,
    services: UsedServices,
    caller: UsedCaller,
    answers: UsedAnswers,
) -> JobView:
    """The same form as for `/upscale`. The estimate is in the report of a job that has no result.

    Its end is waited for, unless `Prefer` says otherwise: 200 is the estimate, 202 that it is still to come.
    `POST /jobs/{id}/rerun` makes the result of the same upload.
    """
    job = await _make_job(request, services, caller, is_estimate=True)
    return await answers.accepted(job, wait_s=ESTIMATE_WAIT_S)


async def _make_job(
    request: Request, services: Services, caller: Caller, *, is_estimate: bool = False
) -> Job:
    key = idempotency_key(request)
    _refuse_query(request)
    _refuse_declared_length(request, services.settings.upload_bytes_max)
    services.uploads.require_one()
    job_id = new_job_id()
    with services.uploads.one():
        declared = _declared_length(request)
        await in_thread(refuse_when_full, services, declared)
        asked = {"bytes_per_day": max(0, declared - intake.FORM_BYTES_MAX)}
        await in_thread(refuse_over_quota, services, caller, key, asked)
        received = await intake.receive(
            request.stream(),
            request.headers.get("content-type", ""),
            storage=services.storage,
            key=keys.input_key(job_id),
            upload_bytes_max=services.settings.upload_bytes_max,
            pixels_max=services.settings.pixels_max,
            check=partial(check_field, services),
        )
        is_sent = True
        if isinstance(received, Named):
            is_sent = received.source != "upload"  # whose bytes were counted when it began
            received = await _take(services, caller, job_id, received)
        bytes_in = received.size_bytes if is_sent else 0
        record = partial(accept, bytes_in=bytes_in, is_estimate=is_estimate)
        job = await in_thread(record, services, caller, job_id, received, key)
    if job.id == job_id:
        metrics.UPLOAD_BYTES.inc(job.size_bytes)
    return job


async def _take(services: Services, caller: Caller, job_id: str, named: Named) -> Received:
    """What the form only names, as the input of a job."""
    if named.source == "upload":
        return await in_thread(_take_uploaded, services, caller, job_id, named)
    services.fetches.require_one()
    with services.fetches.one():
        stored = await fetch(
            named.value,
            outgoing=services.outgoing,
            storage=services.storage,
            key=keys.input_key(job_id),
            bytes_max=services.settings.upload_bytes_max,
            pixels_max=services.settings.pixels_max,
            check_room=partial(refuse_when_full, services),
        )
    try:
        return Received.of(stored, named.options, named.handling)
    except InvalidOption:
        await in_thread(services.storage.delete, keys.input_key(job_id))
        raise


def _take_uploaded(services: Services, caller: Caller, job_id: str, named: Named) -> Received:
    """The bytes that came by /uploads as the input of a job; others may still be made of them."""
    upload = find(services, caller, named.value.rpartition("/")[2])  # the Location as a whole is as good
    stored = whole.examine(services.storage, upload, pixels_max=services.settings.pixels_max)
    received = Received.of(stored, named.options, named.handling)
    services.storage.copy(data_key(upload.id), keys.input_key(job_id))
    return received


def _refuse_query(request: Request) -> None:
    """Options in the address would be ignored without a word."""
    for name, value in request.query_params.items():
        raise InvalidOption(
            f"send {name} as a field of the form, not in the address", field=name, value=value
        )


def _refuse_declared_length(request: Request, upload_bytes_max: int) -> None:
    """Before reading anything: a client that waits for `100 Continue` then sends nothing at all."""
    declared = _declared_length(request)
    if declared > upload_bytes_max + intake.FORM_BYTES_MAX:
        raise UploadTooLarge(f"an upload may have {upload_bytes_max} bytes", field="file", value=declared)


def _declared_length(request: Request) -> int:
    """0 when the client does not say."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) <= LENGTH_DIGITS_MAX else 0
