"""Redelivery: queue what can run and nobody was told of, or whose message got lost. The only one there is."""

import logging
from functools import partial

from service import metrics
from service.errors import UnknownJob
from service.housekeeping.apart import goes_well
from service.jobs.store import RUNNABLE_IN, JobStore, Step, kind_of
from service.queue import Queue, dispatch

log = logging.getLogger(__name__)


def requeue(store: JobStore, queue: Queue, *, after_s: float) -> None:
    """Queue what can run and was never queued, or was queued a while ago and its message seems lost."""
    active = store.active()
    waiting: list[tuple[str, Step, float | None]] = []
    for job_id in active:
        goes_well(partial(_look_at, store, job_id, waiting), event="job_not_looked_at", job_id=job_id)
    queued_count = sum(queued_at is not None for _, _, queued_at in waiting)
    queued_before = store.now() - after_s
    overdue = [(job_id, step) for job_id, step, at in waiting if at is not None and at < queued_before]
    # In a long queue everything is overdue though nothing is lost, and queueing it again and again would
    # make the queue longer still. A message is lost only if fewer wait than we know of; a queue that
    # holds duplicates of others instead is empty as soon as a worker is free.
    if overdue and queue.depth() >= queued_count:
        overdue = []
    for job_id, step in [(job_id, step) for job_id, step, at in waiting if at is None] + overdue:
        goes_well(partial(_send, store, queue, job_id, step), event="step_not_requeued", job_id=job_id)
    _measure(store, active, [(step, queued_at) for _, step, queued_at in waiting])


def _look_at(store: JobStore, job_id: str, waiting: list[tuple[str, Step, float | None]]) -> None:
    waiting += [(job_id, step, queued_at) for step, queued_at in store.waiting(job_id).items()]


def _send(store: JobStore, queue: Queue, job_id: str, step: Step) -> None:
    dispatch(store, queue, job_id, step)
    metrics.SWEEPER_ACTIONS.labels("requeue").inc()
    log.info("step_requeued", extra={"job": job_id, "step": step})


def _measure(store: JobStore, active: list[str], waiting: list[tuple[Step, float | None]]) -> None:
    now = store.now()
    for kind in RUNNABLE_IN:
        ages_s = [now - (queued_at or now) for step, queued_at in waiting if kind_of(step) == kind]
        metrics.STEPS_WAITING.labels(kind).set(len(ages_s))
        metrics.OLDEST_STEP_SECONDS.labels(kind).set(max(ages_s, default=0.0))
    try:
        age_s = now - store.get(active[0]).created_at if active else 0.0
    except UnknownJob:
        return  # deleted since we asked; the next sweep measures again
    metrics.OLDEST_JOB_SECONDS.set(age_s)
