"""POST /upscale: an upload becomes a job that is recorded, in this order, before the client hears 202.

    storage: the input          a whole object, or nothing
    storage: the manifest       the truth; the store can be rebuilt from it
    store:   the job            from here on it is found
    queue:   its first step     if this fails, the sweeper sends it again

Not here: reading the form (intake/reading.py).
"""

import logging
import re
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response

from service import metrics
from service.api.callers import Caller, UsedCaller
from service.api.dependencies import Services, UsedRoot, UsedServices, in_thread
from service.api.intake import reading as intake
from service.api.problems import problem_responses
from service.api.routes.jobs import POLL_AFTER_S, JobView, view
from service.errors import (
    IdempotencyConflict,
    InvalidOption,
    QueueFull,
    StorageFull,
    StoreFull,
    StoreUnavailable,
    TransientError,
    UploadTooLarge,
)
from service.jobs import keys, manifest
from service.jobs.manifest import Manifest
from service.jobs.model import Job, Options, new_job_id
from service.jobs.states import JobEvent
from service.jobs.store import PLAN, JobStore
from service.queue import dispatch

log = logging.getLogger(__name__)
router = APIRouter(tags=["jobs"])

IDEMPOTENCY_KEY_CHARS_MAX = 200
IDEMPOTENCY_KEY_PATTERN = "^[!-~]([ -~]*[!-~])?$"  # HTTP drops spaces around a value, and knows only ASCII
DISK_BYTES_KEPT = 256 * 1024**2  # for parts and results of the jobs that are there, and for the store
LENGTH_DIGITS_MAX = 20
STORE_USED_MAX = 0.9  # of its memory; in a full one the queue takes no messages, and jobs would stand still


def _form_schema() -> dict[str, object]:
    file = {
        "type": "string",
        "format": "binary",
        "minLength": 1,
        "description": "The video or picture.",
    }
    options = Options.model_json_schema()["properties"]
    return {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": file} | {name: _field_schema(schema) for name, schema in options.items()},
    }


def _field_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Of an option as a field of a form, which has no null: who wants the default leaves the field out."""
    (given,) = (each for each in schema.get("anyOf", [schema]) if each.get("type") != "null")
    field = {**given, "description": schema["description"]}
    return {name: value for name, value in field.items() if name not in {"title", "default"}}


_OPENAPI = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {
                "type": "string",
                "maxLength": IDEMPOTENCY_KEY_CHARS_MAX,
                "pattern": IDEMPOTENCY_KEY_PATTERN,
            },
            "description": "Any unique text. The same key with the same upload gives the same job, so that a "
            "client may repeat a request whose answer it never got.",
            "example": "7b0f5c1e-holiday",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _form_schema()}},
    },
}


@router.post(
    "/upscale",
    status_code=202,
    summary="Upload a video or a picture to be upscaled",
    openapi_extra=_OPENAPI,
    responses={
        202: {"headers": {"Location": {"description": "The job", "schema": {"type": "string"}}}},
        **problem_responses(400, 409, 413, 415, 422, 503, 507),
    },
)
async def upscale(
    request: Request, response: Response, services: UsedServices, caller: UsedCaller, root: UsedRoot
) -> JobView:
    """Send the file and the options as one form; options may come before or after the file.

    The answer comes as soon as the job is safe. Poll its address, or listen to its events, until it has
    succeeded; then fetch the result.
    """
    idempotency_key = _idempotency_key(request)
    _refuse_query(request)
    _refuse_declared_length(request, services.settings.upload_bytes_max)
    services.uploads.require_one()
    job_id = new_job_id()
    with services.uploads.one():
        await in_thread(_refuse_when_full, services, _declared_length(request))
        received = await intake.receive(
            request.stream(),
            request.headers.get("content-type", ""),
            storage=services.storage,
            key=keys.input_key(job_id),
            upload_bytes_max=services.settings.upload_bytes_max,
            pixels_max=services.settings.pixels_max,
            check_model=services.catalogue.require,
        )
        try:
            recorded = await in_thread(_record, services, caller, job_id, received, idempotency_key)
        except IdempotencyConflict as error:
            error.value = idempotency_key  # as its sender knows it
            raise
    shown = view(recorded, root)
    response.headers["Location"] = shown.links.self
    response.headers["Retry-After"] = str(POLL_AFTER_S)
    return shown


def _record(
    services: Services,
    caller: Caller,
    job_id: str,
    received: intake.Received,
    given_key: str | None,
) -> Job:
    """Make the job durable and return it, or the one that the same key made before."""
    idempotency_key = caller.idempotency_key(given_key)
    try:
        if idempotency_key is not None:
            _require_complete(services.store)
        now = services.store.now()
        job = Job(
            id=job_id,
            options=received.options,
            kind=received.kind,
            filename=received.filename,
            size_bytes=received.size_bytes,
            sha256=received.sha256,
            owner=caller.owner,
            created_at=now,
            updated_at=now,
        )
        manifest.save(services.storage, Manifest(job=job, idempotency_key=idempotency_key))
    except BaseException:
        with suppress(TransientError):
            manifest.forget(services.storage, job_id)
        raise
    try:
        recorded = services.store.create(job, idempotency_key=idempotency_key)
        if idempotency_key is not None and recorded.id == job_id:
            _require_complete(services.store)
    except BaseException:
        _take_back(services, job)
        raise
    if recorded.id != job_id:  # the key was used before
        _remove(services, job)
        return recorded
    metrics.UPLOAD_BYTES.inc(job.size_bytes)
    log.info("job_accepted", extra={"job": job_id, "size_bytes": job.size_bytes, "kind": job.kind})
    try:
        dispatch(services.store, services.queue, job_id, PLAN)
    except TransientError as error:
        log.warning("job_not_queued", extra={"job": job_id, "reason": str(error)})
    return recorded


def _require_complete(store: JobStore) -> None:
    """A store that lost what it had may have known the key as that of another job, which comes back with it.

    Asked before anything is written, and when the job is made: it may have lost all in between.
    """
    if not store.is_complete():
        raise StoreUnavailable("The job store is being rebuilt; try again.")


def _take_back(services: Services, job: Job) -> None:
    """The client hears an error, so nothing may be left that would become a job behind its back.

    While the store does not answer, the job may have been made there, and its key may give it to the client's
    next try: then its bytes stay, and it is a job like any other.
    """
    try:
        services.store.delete(job.id)
    except TransientError as error:
        log.warning("upload_left", extra={"job": job.id, "reason": str(error)})
    else:
        _remove(services, job)


def _remove(services: Services, job: Job) -> None:
    """First over, then gone: a manifest that can't be removed would be restored as a job that goes on."""
    try:
        manifest.settle_end(services.storage, job.after(JobEvent.CANCEL, at=job.created_at))
        manifest.forget(services.storage, job.id)
    except TransientError as error:
        log.warning("upload_not_removed", extra={"job": job.id, "reason": str(error)})


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (
        len(key) <= IDEMPOTENCY_KEY_CHARS_MAX and re.fullmatch(IDEMPOTENCY_KEY_PATTERN, key)
    ):
        raise InvalidOption(
            f"Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters",
            field="Idempotency-Key",
            value=key,
        )
    return key


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


def _refuse_when_full(services: Services, upload_bytes: int) -> None:
    depth = services.store.queue_depth()
    if depth >= services.settings.queue_max:
        raise QueueFull(f"{depth} jobs are waiting or running; try again later", value=depth)
    if services.store.memory_used() > STORE_USED_MAX:
        raise StoreFull("the job store is nearly full; try again later")
    free_bytes = services.storage.free_bytes()
    if free_bytes is not None and free_bytes < upload_bytes + DISK_BYTES_KEPT:
        raise StorageFull(f"{free_bytes} bytes are free")
