"""InputCache: a job's upload as a local file, fetched once a worker and kept while there is room.

Decoders read files, not pipes (PyAV's `close` holds the interpreter's lock while a pipe feeds it).
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service import metrics
from service.jobs.keys import input_key
from service.objects.base import OnChunk, Storage, nothing

WAIT_S: Final = 0.5  # how often a step that waits for another's fetching says so
BYTES_MAX: Final = 8 * 1024**3  # four of the largest uploads; what is in use may go beyond


class InputCache:
    """`open` from any thread; files nobody uses go first, the longest unused before the others."""

    def __init__(self, storage: Storage, folder: Path, *, bytes_max: int = BYTES_MAX) -> None:
        self._storage = storage
        self._folder = folder
        self._bytes_max = bytes_max
        self._lock = threading.Lock()  # guards all below
        self._users: OrderedDict[str, int] = OrderedDict()  # job id -> open users; least recently used first
        self._fetching: dict[str, threading.Lock] = {}
        self._ended: set[str] = set()

    @contextmanager
    def open(self, job_id: str, *, on_chunk: OnChunk = nothing) -> Iterator[Path]:
        """The upload's path, valid inside the block. Raises NotFound when the job's input is gone.

        on_chunk   called again and again while it is fetched, here or by another step; may raise
        """
        path = self._folder / job_id
        with self._lock:
            self._users[job_id] = self._users.get(job_id, 0) + 1
            self._users.move_to_end(job_id)
            fetching = self._fetching.setdefault(job_id, threading.Lock())
        try:
            with _locked(fetching, on_chunk):
                if not path.exists():
                    with metrics.STAGE_SECONDS.labels("download").time():
                        self._storage.fetch(input_key(job_id), path, on_chunk=on_chunk)
            yield path
        finally:
            with self._lock:
                self._users[job_id] -= 1
                self._make_room()

    def forget(self, job_id: str) -> None:
        """The job has ended: its file goes now, or when its last user is done."""
        with self._lock:
            if job_id in self._users:
                self._ended.add(job_id)
                self._make_room()

    def _make_room(self) -> None:
        unused = [job_id for job_id, users in self._users.items() if users == 0]
        for job_id in unused:
            if job_id in self._ended or not (self._folder / job_id).exists():
                self._drop(job_id)
        excess = sum(self._size(job_id) for job_id in self._users) - self._bytes_max
        for job_id in unused:
            if excess > 0 and job_id in self._users:
                excess -= self._size(job_id)
                self._drop(job_id)

    def _drop(self, job_id: str) -> None:
        del self._users[job_id], self._fetching[job_id]
        self._ended.discard(job_id)
        (self._folder / job_id).unlink(missing_ok=True)

    def _size(self, job_id: str) -> int:
        path = self._folder / job_id
        return path.stat().st_size if path.exists() else 0


@contextmanager
def _locked(lock: threading.Lock, on_wait: OnChunk) -> Iterator[None]:
    while not lock.acquire(timeout=WAIT_S):
        on_wait()
    try:
        yield
    finally:
        lock.release()
