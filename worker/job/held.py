"""Held: a lease kept alive by a thread of its own while the step moves on, and what tells the step to stop.

Not here: who may hold what (service/jobs/store.py), what a step does (plan.py, segment.py, assemble.py).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Final, Self

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from service.errors import StoreUnavailable, TransientError
from service.jobs.model import Job
from service.jobs.states import JobEvent
from service.jobs.steps import Lease, Runtime, Superseded
from service.jobs.store import JobStore
from service.traces import Span
from worker.job.stages import Stages

log = logging.getLogger(__name__)

WAIT_S: Final = 60.0  # a restart of store or storage takes less; beyond it the step is handed out again
RENEW_S: Final = 0.5  # how often progress is shown and a cancellation noticed
HAND_BACK_S: Final = 5.0  # for a step to end by itself when its worker drains: a few frames, or an upload
STALL_S: Final = 300.0  # a step that shows no progress for so long is stuck: it loses its lease


# While the store or the storage is away: a restart of either costs no finished work.
patiently: Final = Retrying(
    retry=retry_if_exception_type(TransientError),
    wait=wait_exponential_jitter(multiplier=0.2, max=5),
    stop=stop_after_delay(WAIT_S),
    reraise=True,
)


class LeaseLost(Exception):
    """Another worker has the step, or the job has ended: stop and leave everything as it is."""


class GivenBack(Exception):
    """Another worker should do it, as this one is about to end or unsuited: give the step back.

    only_for   the runtime that it needs, where the store was not told
    """

    def __init__(self, reason: str, *, only_for: Runtime | None = None) -> None:
        super().__init__(reason)
        self.only_for = only_for


class Held:
    """`with Held(...) as held`: call `advance` for each frame; it raises when the step must stop.

    A step that raises GivenBack is free for others at once; a failed one keeps its lease until that ends.
    When the worker drains, a step that waits is woken, and the lease of one that stays busy is given back. A
    holder that can't renew stops when the lease is over by its own clock, as someone else may have the step.

    on_stop   called from the renewing thread, maybe twice, so that a step that waits elsewhere wakes up
    """

    def __init__(
        self,
        store: JobStore,
        lease: Lease,
        *,
        draining: threading.Event,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.lease = lease
        self.frames_done = 0
        self.stages = Stages()
        self.span = Span()  # of whoever traces the step
        self._fields = {"job": lease.job_id, "step": lease.step}  # contexts do not follow threads
        self._store = store
        self._draining = draining
        self.on_stop = on_stop
        self._lost = threading.Event()
        self._expired = threading.Event()
        self._ended = threading.Event()
        self._renewed_at = time.monotonic()  # when the last renewal that got through was sent
        # A renewal that overtakes the finish of the same step would be told that the lease is lost.
        self._asking = threading.Lock()
        self._progress_at = time.monotonic()
        self._goes_on: Callable[[], bool] = _never
        self._thread = threading.Thread(target=self._renew, name=f"lease {lease.step}", daemon=True)

    def advance(self, frame_count: int = 1) -> None:
        """Note that so many more frames are done; raises LeaseLost or GivenBack when the step must stop."""
        self.frames_done += frame_count
        self.tell()
        self.check()

    def advance_now(self, frame_count: int = 1) -> None:
        """The same, shown at once and not with the next renewal; for a step that may end before that."""
        self.advance(frame_count)
        self.confirm()

    def proceed(self) -> None:
        """Note progress in what has no frames; raises LeaseLost or GivenBack when the step must stop."""
        self.advance(0)

    def tell(self) -> None:
        """Note progress in what is worth ending even when the step must stop."""
        self._progress_at = time.monotonic()

    @contextmanager
    def trusting(self, goes_on: Callable[[], bool]) -> Iterator[None]:
        """Around a wait that shows no progress of its own: `goes_on` is asked for it at each renewal."""
        self._goes_on = goes_on
        try:
            yield
        finally:
            self._goes_on = _never
            self._progress_at = time.monotonic()

    def check(self) -> None:
        """Raise LeaseLost or GivenBack when the step must stop."""
        if self._lost.is_set():
            raise LeaseLost(f"{self.lease.job_id} {self.lease.step}")
        if self._draining.is_set():
            raise GivenBack(f"{self.lease.job_id} {self.lease.step}")
        if self._is_over():
            raise GivenBack(f"the lease of {self.lease.job_id} {self.lease.step} ran out")

    def confirm(self) -> None:
        """Ask the store whether the lease still counts, before what can't be undone; raises LeaseLost."""
        self.check()
        if not patiently(self._renew_once):
            raise LeaseLost(f"{self.lease.job_id} {self.lease.step}")

    def move(self, event: JobEvent, **changes: Any) -> Job:
        """Move the job's state as the holder of this step; raises LeaseLost when someone took it over."""
        try:
            return self._store.transition(self.lease.job_id, event, lease=self.lease, **changes)
        except Superseded as error:
            raise LeaseLost(str(error)) from error

    def timed(self, stage: str) -> AbstractContextManager[None]:
        """Count the time inside as spent on this stage."""
        return self.stages.timed(stage)

    def finish(self, *, part_key: str | None = None, state_key: str | None = None) -> None:
        """Mark the step done; raises LeaseLost when someone else may have it by now."""
        if not patiently(self._finish, part_key, state_key, self.stages.take()):
            raise LeaseLost(f"{self.lease.job_id} {self.lease.step}")

    def _finish(self, part_key: str | None, state_key: str | None, seconds: dict[str, float]) -> bool:
        with self._asking:
            done = self._store.finish(self.lease, part_key=part_key, state_key=state_key, seconds=seconds)
            if done:
                self._ended.set()
                self._end_span()
            return done

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._end_span(error)
        if isinstance(error, GivenBack):
            # Or the attempt would count; but a process that is to end has no time to wait for the store.
            if self._draining.is_set():
                self._store.release(self.lease, only_for=error.only_for)
            else:
                patiently(self._store.release, self.lease, only_for=error.only_for)

    def _end_span(self, error: BaseException | None = None) -> None:
        self.span.note(frames=self.frames_done or None)
        if isinstance(error, LeaseLost | GivenBack):  # nothing went wrong: another goes on
            self.span.note(left=str(error))
            error = None
        self.span.end(error)

    def _renew(self) -> None:
        drains_until: float | None = None
        while not self._ended.wait(RENEW_S):
            if self._draining.is_set():
                if drains_until is None:
                    drains_until = time.monotonic() + HAND_BACK_S
                    self.on_stop()
                elif time.monotonic() > drains_until and self._hand_over():
                    return
            if self._goes_on():
                self._progress_at = time.monotonic()
            stalled = time.monotonic() - self._progress_at > STALL_S
            if stalled:
                log.error("step_stalled", extra=self._fields)
            try:
                with self._asking:
                    if self._ended.is_set():
                        return
                    if not stalled and self._renew_once():
                        continue
                self._lost.set()
            except StoreUnavailable:
                log.warning("lease_not_renewed", extra=self._fields)
                if not self._is_over():
                    continue
                log.warning("lease_expired", extra=self._fields)
                self._expired.set()  # for good: whoever waits is told to stop now
            self.on_stop()
            return

    def _hand_over(self) -> bool:
        """Give the lease back though the step is busy, in an encoder say, which finds that out at its end."""
        with self._asking:
            if not self._ended.is_set():
                try:
                    self._store.release(self.lease)
                except StoreUnavailable:
                    return False
                self._lost.set()
                log.info("step_handed_over", extra=self._fields)
        return True

    def _renew_once(self) -> bool:
        sent_at = time.monotonic()
        is_ours = self._store.renew(self.lease, frames_done=self.frames_done)
        self._renewed_at = sent_at
        return is_ours

    def _is_over(self) -> bool:
        return self._expired.is_set() or time.monotonic() - self._renewed_at > self.lease.life_s


def _never() -> bool:
    return False


def within(seconds: float) -> Callable[[], bool]:
    """For `Held.trusting`, around what can tell nothing: it goes on for as long as its size explains."""
    ends_at = time.monotonic() + seconds
    return lambda: time.monotonic() < ends_at
