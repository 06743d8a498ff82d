"""Accepting: an input that lies in storage becomes a job that is recorded, in this order, before 202 is said.

    store:   the key, if any    is claimed, so that whoever sends it again is led to this job
    storage: the manifest       the truth; the store can be rebuilt from it
    store:   the job            from here on it is found
    queue:   its first step     if this fails, the sweeper sends it again

Not here: where the input comes from (routes/uploads.py, routes/reruns.py). Start reading at `accept`.
"""

import logging
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from fastapi import Request

from service.api.callers import Caller
from service.api.dependencies import Services
from service.api.intake.reading import Received
from service.errors import (
    IdempotencyConflict,
    InvalidOption,
    QueueFull,
    StorageFull,
    StoreFull,
    StoreUnavailable,
    TransientError,
    UnknownJob,
    UpscaleError,
)
from service.jobs import manifest
from service.jobs.manifest import Manifest
from service.jobs.model import Job
from service.jobs.quotas import Amounts
from service.jobs.states import JobEvent, JobState
from service.jobs.steps import PLAN
from service.jobs.store import JobStore

log = logging.getLogger(__name__)

IDEMPOTENCY_KEY_CHARS_MAX = 200
IDEMPOTENCY_KEY_PATTERN = "^[!-~]([ -~]*[!-~])?$"  # HTTP drops spaces around a value, and knows only ASCII
DISK_BYTES_KEPT = 256 * 1024**2  # for parts and results of the jobs that are there, and for the store
ESTIMATE_TTL_S = 3600.0  # for its upload to become a job
STORE_USED_MAX = 0.9  # of its memory; in a full one the queue takes no messages, and jobs would stand still

IDEMPOTENCY_PARAMETER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {
        "type": "string",
        "maxLength": IDEMPOTENCY_KEY_CHARS_MAX,
        "pattern": IDEMPOTENCY_KEY_PATTERN,
    },
    "description": "Any unique text. The same key with the same request gives the same job, so that a "
    "client may repeat one whose answer it never got.",
    "example": "7b0f5c1e-holiday",
}


def idempotency_key(request: Request) -> str | None:
    """As its sender knows it. Raises InvalidOption."""
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


def refuse_when_full(services: Services, upload_bytes: int) -> None:
    depth = services.store.queue_depth()
    if depth >= services.settings.queue_max:
        raise QueueFull(f"{depth} jobs are waiting or running; try again later", value=depth)
    if services.store.memory_used() > STORE_USED_MAX:
        raise StoreFull("the job store is nearly full; try again later")
    free_bytes = services.storage.free_bytes()
    if free_bytes is not None and free_bytes < upload_bytes + DISK_BYTES_KEPT:
        raise StorageFull(f"{free_bytes} bytes are free")


def refuse_over_quota(services: Services, caller: Caller, given_key: str | None, asked: Amounts) -> None:
    """Before an upload is read or copied: whether its job would be refused. Raises LimitReached.

    A repetition is let through, as it makes no job.
    """
    if caller.owner is not None:
        unless_key = caller.idempotency_key(given_key)
        services.store.admit(caller.owner, caller.quota, asked, unless_key=unless_key)


def check_field(services: Services, name: str, value: object) -> None:
    """What only this service can tell about an option; raises the InputError that fits."""
    ttl_s_max = services.settings.result_ttl_s
    if name == "model" and value is not None:
        services.catalogue.require(str(value))
    elif isinstance(value, float) and name == "ttl" and value > ttl_s_max:
        raise InvalidOption(f"ttl: results are kept {ttl_s_max:g} seconds at most", field="ttl", value=value)
    elif name == "webhook" and value is not None:
        _check_webhook(services, str(value))


def _check_webhook(services: Services, url: str) -> None:
    if not services.settings.webhook_keys:
        raise InvalidOption(
            "this service has no webhooks; its operator may set UPSCALED_WEBHOOK_SECRETS", field="webhook"
        )
    try:
        services.outgoing.resolve(url)
    except UpscaleError as error:
        error.field = "webhook"
        raise


def accept(
    services: Services,
    caller: Caller,
    job_id: str,
    received: Received,
    given_key: str | None,
    *,
    bytes_in: int = 0,
    is_estimate: bool = False,
) -> Job:
    """Make the job durable and return it, or the one that the same key made before.

    bytes_in   what came in with this request, for the caller's quota

    Whatever goes wrong takes the input away again.
    """
    if is_estimate and received.handling.ttl is None:
        ttl_s = min(ESTIMATE_TTL_S, services.settings.result_ttl_s)
        received = replace(received, handling=received.handling.model_copy(update={"ttl": ttl_s}))
    try:
        key = caller.idempotency_key(given_key)
        return _record(services, caller, job_id, received, key, bytes_in=bytes_in, is_estimate=is_estimate)
    except IdempotencyConflict as error:
        error.value = given_key  # as its sender knows it
        raise


def _record(
    services: Services,
    caller: Caller,
    job_id: str,
    received: Received,
    key: str | None,
    *,
    bytes_in: int,
    is_estimate: bool,
) -> Job:
    try:
        if key is not None:
            _require_complete(services.store)
            _recall(services, key, job_id)
        now = services.store.now()
        request = services.traces.current()
        request.note(job=job_id)
        job = Job(
            id=job_id,
            options=received.options,
            handling=received.handling,
            kind=received.kind,
            filename=received.filename,
            size_bytes=received.size_bytes,
            sha256=received.sha256,
            owner=caller.owner,
            is_estimate=is_estimate,
            traceparent=request.traceparent,
            created_at=now,
            updated_at=now,
        )
        manifest.save(services.storage, Manifest(job=job, idempotency_key=key))
    except BaseException:
        with suppress(TransientError):
            manifest.forget(services.storage, job_id)
        raise
    try:
        recorded = services.store.create(job, idempotency_key=key, quota=caller.quota, bytes_in=bytes_in)
        if key is not None and recorded.id == job_id:
            _require_complete(services.store)
    except BaseException:
        _take_back(services, job)
        raise
    if recorded.id != job_id:  # the key was used before
        _remove(services, job)
        return recorded
    log.info("job_accepted", extra={"job": job_id, "size_bytes": job.size_bytes, "kind": job.kind})
    try:
        services.queue.enqueue(job_id, PLAN)
    except TransientError as error:
        log.warning("job_not_queued", extra={"job": job_id, "reason": str(error)})
    return recorded


def _recall(services: Services, key: str, job_id: str) -> None:
    """Claim the key for this job, and see that the store knows the one that had claimed it before.

    Of that it knows nothing when an API died between manifest and store. Nobody was told of the job, but it
    would come back by itself, beside this one.
    """
    store, claimed = services.store, services.store.claim(key, job_id)
    if claimed == job_id or _is_known(store, claimed):
        return
    begun = _begun(services, claimed)
    if begun is None:
        store.claim(key, job_id, instead_of=claimed)
        return
    with suppress(IdempotencyConflict):  # the key is a third job's by now
        store.create(begun, idempotency_key=key)
        log.warning("job_recalled", extra={"job": claimed})
    if _begun(services, claimed) is None:  # whoever made it lives, and took it back meanwhile
        store.delete(claimed)


def _is_known(store: JobStore, job_id: str) -> bool:
    try:
        store.get(job_id)
    except UnknownJob:
        return False
    return True


def _begun(services: Services, job_id: str) -> Job | None:
    """The job, if its manifest is there and says no more than that it was accepted."""
    try:
        job = manifest.load(services.storage, job_id).standing()
    except UnknownJob:
        return None
    return job if job.state is JobState.QUEUED else None


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
