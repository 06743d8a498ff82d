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
from collections.abc import Callable
from typing import Final

from service import metrics
from service.errors import TransientError
from service.housekeeping.expiry import expire
from service.housekeeping.rebuilding import UNACCEPTED_S, rebuild
from service.housekeeping.redelivery import requeue
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.queue import Queue
from service.settings import Settings

log = logging.getLogger(__name__)

SWEEP_S: Final = 1.0  # a dead worker's step is queued again within a lease and this
HOUSEKEEPING_S: Final = 600.0  # between two readings of all names in storage


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
        metrics.STORE_MEMORY_RATIO.set(self._store.memory_used())

    def requeue(self) -> None:
        requeue(self._store, self._queue, after_s=self._requeue_after_s)

    def expire(self) -> None:
        expire(self._store, self._storage, ttl_s=self._result_ttl_s)

    def rebuild(self) -> None:
        rebuild(self._store, self._storage)
