"""Ending: how a job ends, once. The manifest first, then the store, then what nobody needs any more goes.

In this order whoever comes after a crash finds the end in the manifest and does the rest. Of a worker that
succeeds, another that fails and an owner who cancels, the first to write the manifest is right, and the
others are told. Start reading at `end`.
"""

from typing import Any, Final

from service.jobs import keys, manifest
from service.jobs.manifest import Manifest
from service.jobs.model import Job
from service.jobs.states import JobEvent, JobState
from service.jobs.store import JobStore
from service.objects.base import Storage

_WITHOUT_FILES: Final = frozenset({JobState.CANCELLED, JobState.EXPIRED})


def end(store: JobStore, storage: Storage, job: Job, event: JobEvent, **changes: Any) -> Job:
    """End the job that stands so by this event, and return it as it ended, which may be in another way.

    Raises IllegalTransition when it can't end so.
    """
    ended = job.after(event, at=store.now(), **changes)
    return conclude(store, storage, manifest.settle_end(storage, ended))


def erase(store: JobStore, storage: Storage, job: Job) -> None:
    """Remove all trace of the job; one that goes on is cancelled first, so that its worker stops.

    Can be asked for again when something failed half-way.
    """
    if not job.state.is_terminal:
        end(store, storage, job, JobEvent.CANCEL)
    manifest.forget(storage, job.id)
    store.delete(job.id)


def conclude(store: JobStore, storage: Storage, recorded: Manifest) -> Job:
    """Make the store agree with a manifest that says that the job is over, and clear up."""
    job = store.conclude(recorded.job, idempotency_key=recorded.idempotency_key)
    clear(storage, recorded.job)
    return job


def clear(storage: Storage, job: Job) -> None:
    """Remove what a job that has ended does not need: of a cancelled or expired one all but its records."""
    if job.state in _WITHOUT_FILES:
        for key in storage.list(keys.job_prefix(job.id)):
            if not keeps(job, key):
                storage.delete(key)
        return
    storage.delete(keys.planned_key(job.id))  # the end holds the plan too
    storage.delete_prefix(keys.parts_prefix(job.id))
    storage.delete_prefix(keys.states_prefix(job.id))
    for key in storage.list(keys.results_prefix(job.id)):
        if not keeps(job, key):
            storage.delete(key)


def keeps(job: Job, key: str) -> bool:
    """Whether a job that has ended needs this object of its own; a late worker may have left others."""
    if key in (keys.manifest_key(job.id), keys.ended_key(job.id), keys.webhooks_key(job.id)):
        return True
    previews = keys.preview_key(job.id), keys.pair_key(job.id)
    files = (keys.input_key(job.id), *previews, job.result_key)
    return job.state not in _WITHOUT_FILES and key in files
