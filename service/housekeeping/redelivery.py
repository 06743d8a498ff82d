"""Redelivery: put in line what can run and is not there, and wake workers. The only one there is."""

import logging
from collections.abc import Mapping
from functools import partial

from service import metrics
from service.errors import UnknownJob
from service.formats import FORMATS
from service.housekeeping.apart import goes_well
from service.jobs.steps import FIRST_IN_LINE, RUNNABLE_IN, Line
from service.jobs.store import JobStore
from service.queue import Queue

log = logging.getLogger(__name__)


def requeue(store: JobStore, queue: Queue) -> None:
    """Put steps in line whose leases ran out; send messages where steps wait and no message does."""
    active = store.active()
    lines: dict[str, Line] = {}
    for job_id in active:
        goes_well(partial(_look_at, store, job_id, lines), event="job_not_looked_at", job_id=job_id)
    waiting = [(job_id, step) for job_id, line in lines.items() for step in line.first]
    # A message that still waits wakes whoever is free: more of them would only be read for nothing.
    if waiting and queue.depth() == 0:
        for job_id, step in waiting[:FIRST_IN_LINE]:
            queue.enqueue(job_id, step)
    _measure(store, active, lines)


def _look_at(store: JobStore, job_id: str, lines: dict[str, Line]) -> None:
    line = store.line_up(job_id)
    if line is None:
        return
    lines[job_id] = line
    if line.added:
        metrics.SWEEPER_ACTIONS.labels("requeue").inc(line.added)
        log.info("steps_requeued", extra={"job": job_id, "count": line.added})


def _measure(store: JobStore, active: list[str], lines: Mapping[str, Line]) -> None:
    now = store.now()
    for step in RUNNABLE_IN:
        metrics.STEPS_WAITING.labels(step).set(sum(line.counts[step] for line in lines.values()))
    for kind in FORMATS:
        waits_s = [now - line.since for line in lines.values() if line.kind == kind and line.since]
        metrics.LONGEST_WAIT_SECONDS.labels(kind).set(max(waits_s, default=0.0))
    try:
        age_s = now - store.get(active[0]).created_at if active else 0.0
    except UnknownJob:
        return  # deleted since we asked; the next sweep measures again
    metrics.OLDEST_JOB_SECONDS.set(age_s)
