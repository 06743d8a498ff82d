"""Expiry: results and records go when their time is over."""

import logging
from functools import partial

from service import metrics
from service.errors import IllegalTransition, UnknownJob
from service.housekeeping.apart import goes_well
from service.jobs import manifest
from service.jobs.states import JobEvent, JobState
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.webhooks.deliveries import LIFE_S

log = logging.getLogger(__name__)


def expire(store: JobStore, storage: Storage, *, ttl_s: float) -> None:
    """Remove the objects of results past their time, and after as long again the record as well."""
    now = store.now()
    for job_id in dict.fromkeys(store.finished_before(now - ttl_s) + store.brief_before(now)):
        remove = partial(_expire_one, store, storage, job_id)
        goes_well(remove, event="job_not_expired", job_id=job_id, storage=storage)


def _expire_one(store: JobStore, storage: Storage, job_id: str) -> None:
    try:
        job = store.get(job_id)
        if job.state is JobState.SUCCEEDED:
            # First the state: a reader is told that the result expired, not that it is broken.
            store.transition(job_id, JobEvent.EXPIRE, result_key=None)
            manifest.forget_all_but_webhooks(storage, job_id)
        elif store.has_hook(job_id) and store.now() < job.updated_at + LIFE_S:
            return  # a job that was kept briefly: its receiver may be away for longer
        else:
            manifest.forget(storage, job_id)
            store.delete(job_id)
    except (UnknownJob, IllegalTransition):
        return  # another sweeper was faster
    metrics.SWEEPER_ACTIONS.labels("expire").inc()
    log.info("job_expired", extra={"job": job_id})
