"""Sweeper: puts right what got lost. The one redelivery system; every API process runs one, and they need no
election, because doing any of this twice is harmless.

    requeue    steps that can run, that nobody holds and of which no message seems to be under way
    expire     results whose time is over, and what is left of jobs that failed or were cancelled as long ago
    rebuild    the store from the manifests, after it lost something
    discard    uploads that were never accepted

It never touches running work: a step under a lease is not looked at.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from itertools import groupby
from typing import Final

from pydantic import ValidationError

from service import metrics
from service.errors import IllegalTransition, TransientError, UnknownJob
from service.jobs import keys, manifest
from service.jobs.manifest import Manifest, Plan
from service.jobs.model import created_at_of
from service.jobs.states import JobEvent, JobState
from service.jobs.store import RUNNABLE_IN, FinishedPart, JobStore, Step, kind_of
from service.objects.base import Storage
from service.queue import Queue, dispatch
from service.settings import Settings

log = logging.getLogger(__name__)

SWEEP_S: Final = 1.0  # a dead worker's step is queued again within a lease and this
HOUSEKEEPING_S: Final = 600.0  # between two readings of all names in storage
UNACCEPTED_S: Final = 86400.0  # the slowest upload we wait for: 2 GiB at 200 kbit/s


class Sweeper:
    def __init__(
        self,
        store: JobStore,
        storage: Storage,
        queue: Queue,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` only paces the housekeeping; what is old is judged by the store's."""
        self._store = store
        self._storage = storage
        self._queue = queue
        self._requeue_after_s = settings.requeue_after_s
        self._result_ttl_s = settings.result_ttl_s
        self._clock = clock
        self._housekept_at = clock() - HOUSEKEEPING_S

    def run(self, stop: threading.Event) -> None:
        """Sweep until told to stop, whatever goes wrong; for a thread of its own."""
        while not stop.is_set():
            try:
                self.sweep()
            except TransientError as error:
                log.warning("sweep_interrupted", extra={"reason": str(error)})
            except Exception:  # the top of a thread that has to outlive its mistakes
                log.exception("sweep_failed")
            stop.wait(SWEEP_S)

    def sweep(self) -> None:
        """Everything once."""
        if not self._store.is_complete() or self._clock() - self._housekept_at >= HOUSEKEEPING_S:
            self.rebuild()
            self._storage.discard_unfinished(UNACCEPTED_S)
            self._housekept_at = self._clock()
        self.requeue()
        self.expire()
        for state, count in self._store.counts().items():
            metrics.JOBS.labels(state.value).set(count)

    def requeue(self) -> None:
        """Queue what can run and was never queued, or was queued a while ago and its message seems lost."""
        active = self._store.active()
        waiting = [
            (job_id, step, queued_at)
            for job_id in active
            for step, queued_at in self._store.waiting(job_id).items()
        ]
        queued_count = sum(queued_at is not None for _, _, queued_at in waiting)
        queued_before = self._store.now() - self._requeue_after_s
        overdue = [(job_id, step) for job_id, step, at in waiting if at is not None and at < queued_before]
        # In a long queue everything is overdue though nothing is lost, and queueing it again and again would
        # make the queue longer still. A message is lost only if fewer wait than we know of; a queue that
        # holds duplicates of others instead is empty as soon as a worker is free.
        if overdue and self._queue.depth() >= queued_count:
            overdue = []
        for job_id, step in [(job_id, step) for job_id, step, at in waiting if at is None] + overdue:
            dispatch(self._store, self._queue, job_id, step)
            metrics.SWEEPER_ACTIONS.labels("requeue").inc()
            log.info("step_requeued", extra={"job": job_id, "step": step})
        self._measure(active, [(step, queued_at) for _, step, queued_at in waiting])

    def expire(self) -> None:
        """Remove the objects of results past their time, and after as long again the record as well."""
        for job_id in self._store.finished_before(self._store.now() - self._result_ttl_s):
            try:
                if self._store.get(job_id).state is JobState.SUCCEEDED:
                    # First the state: a reader is told that the result expired, not that it is broken.
                    self._store.transition(job_id, JobEvent.EXPIRE, result_key=None)
                    manifest.forget(self._storage, job_id)
                else:
                    manifest.forget(self._storage, job_id)
                    self._store.delete(job_id)
            except (UnknownJob, IllegalTransition):
                continue  # another sweeper was faster
            metrics.SWEEPER_ACTIONS.labels("expire").inc()
            log.info("job_expired", extra={"job": job_id})

    def rebuild(self) -> None:
        """Restore jobs that have a manifest and are not in the store; drop uploads never accepted."""
        names = self._storage.list(keys.JOBS_PREFIX)
        for job_id, group in groupby(names, key=lambda key: key.removeprefix(keys.JOBS_PREFIX).split("/")[0]):
            found = set(group)
            if keys.manifest_key(job_id) in found:
                self._restore(job_id, found)
            else:
                self._discard_unaccepted(job_id)
        self._store.mark_complete()

    def _restore(self, job_id: str, found: Collection[str]) -> None:
        if self._is_known(job_id):
            return
        try:
            recorded = manifest.load(self._storage, job_id)
        except UnknownJob:
            return  # deleted since we read its name
        except ValidationError:
            log.exception("manifest_refused", extra={"job": job_id})
            return
        if restore(self._store, recorded, found):
            metrics.SWEEPER_ACTIONS.labels("restore").inc()
            log.warning("job_restored", extra={"job": job_id, "state": self._store.get(job_id).state.value})

    def _discard_unaccepted(self, job_id: str) -> None:
        try:
            age_s = self._store.now() - created_at_of(job_id)
        except ValueError:
            return  # no name of ours
        if age_s > UNACCEPTED_S and not self._is_known(job_id):
            self._storage.delete_prefix(keys.job_prefix(job_id))
            metrics.SWEEPER_ACTIONS.labels("discard").inc()
            log.info("upload_discarded", extra={"job": job_id})

    def _is_known(self, job_id: str) -> bool:
        try:
            self._store.get(job_id)
        except UnknownJob:
            return False
        return True

    def _measure(self, active: list[str], waiting: list[tuple[Step, float | None]]) -> None:
        now = self._store.now()
        for kind in RUNNABLE_IN:
            ages_s = [now - (queued_at or now) for step, queued_at in waiting if kind_of(step) == kind]
            metrics.STEPS_WAITING.labels(kind).set(len(ages_s))
            metrics.OLDEST_STEP_SECONDS.labels(kind).set(max(ages_s, default=0.0))
        try:
            age_s = now - self._store.get(active[0]).created_at if active else 0.0
        except UnknownJob:
            return  # deleted since we asked; the next sweep measures again
        metrics.OLDEST_JOB_SECONDS.set(age_s)


def restore(store: JobStore, recorded: Manifest, found: Collection[str]) -> bool:
    """Put one job back into the store, with the parts whose keys were found; False when it is there."""
    job = recorded.job
    if job.state.is_terminal:
        return store.restore(job, idempotency_key=recorded.idempotency_key)
    plan = recorded.plan
    fences = [
        keys.segment_and_fence(key)[1]
        for key in found
        if key.startswith((keys.parts_prefix(job.id), keys.states_prefix(job.id)))
    ]
    return store.restore(
        # What has a plan goes on running from it; planning it again could pin another model.
        job.model_copy(
            update={"state": JobState.QUEUED if plan is None else JobState.RUNNING, "frames_done": 0}
        ),
        segments=() if plan is None else plan.segments,
        parts={} if plan is None else finished_parts(job.id, plan, found),
        # Larger than every fence that left a trace, and than those of workers that still hold an old lease.
        fence_floor=max([int(store.now()), *fences]),
        idempotency_key=recorded.idempotency_key,
    )


def finished_parts(job_id: str, plan: Plan, found: Collection[str]) -> dict[int, FinishedPart]:
    """For each finished segment the part with the highest fence.

    A part is no use when its successor is still to run and the state it starts from is missing.
    """
    fences_by_segment: dict[int, list[int]] = {}
    for key in found:
        if key.startswith(keys.parts_prefix(job_id)):
            index, fence = keys.segment_and_fence(key)
            fences_by_segment.setdefault(index, []).append(fence)

    followed = {segment.follows: segment.index for segment in plan.segments if segment.follows is not None}
    finished: dict[int, FinishedPart] = {}
    for segment in reversed(plan.segments):
        successor = followed.get(segment.index)
        for fence in sorted(fences_by_segment.get(segment.index, []), reverse=True):
            state = keys.state_key(job_id, segment.index, fence)
            if state in found or successor is None or successor in finished:
                finished[segment.index] = FinishedPart(
                    fence=fence,
                    part_key=keys.part_key(job_id, segment.index, fence),
                    state_key=state if state in found else None,
                )
                break
    return finished
