"""Sweeper: puts right what got lost. The one redelivery system; every API process runs one, and they need no
election, because doing any of this twice is harmless.

    requeue    steps whose leases ran out go back into line, and messages wake workers where steps wait
    expire     results whose time is over, and what is left of jobs that failed or were cancelled as long ago
    rebuild    the store from the manifests, after it lost something
    discard    uploads that were never accepted, and those in pieces whose time is over
    clear      what late workers left behind jobs that have ended

It never touches running work: a step under a lease is not looked at. Steps are delivered again by a loop of
their own, so that nothing the storage does, or takes its time for, holds them up.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from service import metrics
from service.errors import TransientError
from service.housekeeping.expiry import expire
from service.housekeeping.rebuilding import UNACCEPTED_S, rebuild
from service.housekeeping.redelivery import requeue
from service.jobs.keys import JOBS_PREFIX
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.objects.published import MODELS_PREFIX
from service.queue import Queue
from service.settings import Settings
from service.uploads import records as uploads

log = logging.getLogger(__name__)

SWEEP_S: Final = 1.0  # a dead worker's step is queued again within a lease and this
HOUSEKEEPING_S: Final = 600.0  # between two readings of all names in storage
AGAIN_S: Final = 10.0  # after one that did not go well
_PREFIXES: Final = (JOBS_PREFIX, MODELS_PREFIX)  # others may keep theirs in the same bucket


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
        self._result_ttl_s = settings.result_ttl_s
        self._upload_ttl_s = settings.upload_ttl_s
        self._clock = clock
        self._read_at = clock()  # when all names in storage are to be read next
        self._has_failed = False  # the last reading

    def run(self, stop: threading.Event) -> None:
        """Sweep until told to stop, whatever goes wrong; for a thread of its own."""

        def repeat(once: Callable[[], None]) -> None:
            while not stop.is_set():
                _attempt(once)
                stop.wait(SWEEP_S)

        keeper = threading.Thread(target=repeat, args=(self.housekeep,), name="housekeeping", daemon=True)
        keeper.start()
        repeat(self.redeliver)
        keeper.join()

    def sweep(self) -> None:
        """Everything once."""
        self.housekeep()
        self.redeliver()

    def redeliver(self) -> None:
        """What takes the store and the queue alone, both quick."""
        self.requeue()
        for state, count in self._store.counts().items():
            metrics.JOBS.labels(state.value).set(count)
        metrics.STORE_MEMORY_RATIO.set(self._store.memory_used())

    def housekeep(self) -> None:
        """What takes the storage; each part whether or not the one before it went well."""
        if self._clock() >= self._read_at or not (self._has_failed or self._store.is_complete()):
            self._has_failed, self._read_at = True, self._clock() + AGAIN_S
            _attempt(self.rebuild)
            for prefix in _PREFIXES:
                _attempt(partial(self._storage.discard_unfinished, prefix, UNACCEPTED_S))
            _attempt(self.expire_uploads)
        _attempt(self.expire)

    def requeue(self) -> None:
        requeue(self._store, self._queue)

    def expire(self) -> None:
        expire(self._store, self._storage, ttl_s=self._result_ttl_s)

    def expire_uploads(self) -> None:
        """Of those that come in pieces; what has lost its record is found by its age."""
        ttl_s = self._upload_ttl_s
        for _ in range(uploads.expire(self._storage, now=self._store.now(), ttl_s=ttl_s)):
            metrics.SWEEPER_ACTIONS.labels("expire_upload").inc()
        self._storage.discard_unfinished(uploads.UPLOADS_PREFIX, ttl_s)

    def rebuild(self) -> None:
        if rebuild(self._store, self._storage):
            self._has_failed, self._read_at = False, self._clock() + HOUSEKEEPING_S


def _attempt(part: Callable[[], object]) -> None:
    """Do it, whatever goes wrong: the loop it is of has to outlive its mistakes."""
    try:
        part()
    except TransientError as error:
        log.warning("sweep_interrupted", extra={"reason": str(error)})
    except Exception:  # the top of the loop
        log.exception("sweep_failed")
