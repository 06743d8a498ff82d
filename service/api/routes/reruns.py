"""POST /jobs/{id}/rerun: the upload of a job becomes another job, and is not sent again.

The new job has an input of its own, so that either can be deleted without the other.
"""

from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import ValidationError

from service.api.accepting import (
    ESTIMATE_TTL_S,
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
from service.api.intake.reading import Received
from service.api.problems.answering import problem_responses
from service.api.routes.jobs import find
from service.api.shown.views import JobView
from service.errors import InvalidOption, ResultExpired
from service.jobs import keys
from service.jobs.ids import new_job_id
from service.jobs.model import Handling, Job, Options, Purpose
from service.jobs.quotas import asked_of_a_job
from service.objects.base import NotFound

router = APIRouter(tags=["jobs"])

BODY_BYTES_MAX: Final = 64 * 1024
_SIZES: Final = frozenset({"scale", "size", "width", "height"})  # of these one says how large


class Rerun(Options, Handling):
    """What is to be other than it was."""


_BODY = Rerun.model_json_schema()
for _field in _BODY["properties"].values():
    _field.pop("default", None)  # what is left out stays as it was
_OPENAPI: Final[dict[str, Any]] = {
    "parameters": [IDEMPOTENCY_PARAMETER],
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": _BODY, "example": {"model": "bicubic", "scale": 2}}},
    },
}


@router.post(
    "/jobs/{job_id}/rerun",
    status_code=202,
    summary="Upscale the upload of a job again",
    openapi_extra=_OPENAPI,
    responses={**ACCEPTED, **problem_responses(404, 409, 410, 422, 503, 507)},
)
async def rerun_job(
    job_id: str,
    request: Request,
    services: UsedServices,
    caller: UsedCaller,
    answers: UsedAnswers,
) -> JobView:
    """Options that are named change, null is the default, and all others stay; who names a size of one kind
    drops that of another. Possible as long as the upload is kept."""
    key = idempotency_key(request)
    changes = _changes(await _body(request))
    job = await in_thread(_rerun, services, caller, job_id, changes, key)
    return await answers.accepted(job)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise InvalidOption("these are too many options", field="body")
    return body


def _changes(body: bytes) -> Rerun:
    try:
        return Rerun.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise InvalidOption(f"{field}: {first['msg'].lower()}", field=field, value=first["input"]) from error


def _rerun(services: Services, caller: Caller, job_id: str, changes: Rerun, key: str | None) -> Job:
    earlier = find(services, caller, job_id)
    received = _received(earlier, changes)
    received.options.check_fit(earlier.kind)
    for name in changes.model_fields_set:
        check_field(services, name, getattr(changes, name))
    refuse_when_full(services, 0)
    purpose: Purpose = "sample" if received.options.sample else "upscale"
    refuse_over_quota(services, caller, key, asked_of_a_job(purpose, 0))
    new_id = new_job_id()
    try:
        services.storage.copy(keys.input_key(earlier.id), keys.input_key(new_id))
    except NotFound as gone:
        raise ResultExpired("the upload was removed", field="id", value=job_id) from gone
    return accept(services, caller, new_id, received, key)


def _received(earlier: Job, changes: Rerun) -> Received:
    given = changes.model_dump(exclude_unset=True)
    kept = earlier.options.model_dump()
    if given.keys() & _SIZES:
        kept = {name: value for name, value in kept.items() if name not in _SIZES}
    noted = earlier.handling.model_dump()
    if earlier.is_estimate and noted["ttl"] == ESTIMATE_TTL_S:
        del noted["ttl"]  # which its sender did not name
    handling = noted | given
    return Received(
        kind=earlier.kind,
        filename=earlier.filename,
        size_bytes=earlier.size_bytes,
        sha256=earlier.sha256,
        options=Options.model_validate(_of(Options, kept | given)),
        handling=Handling.model_validate(_of(Handling, handling)),
    )


def _of(record: type[Options] | type[Handling], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in record.model_fields}
