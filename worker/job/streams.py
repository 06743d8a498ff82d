"""Streams: how many of a worker's streams videos may take, so that a picture needn't wait for one to be free.

A segment lasts for seconds, on a slow processor for minutes, and is not broken off. Not here: which step is
next (service/jobs/turns.py).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

KEEPS_ONE_FROM: Final = 4  # streams; with fewer, one that waits for pictures would cost videos too much


class Streams:
    def __init__(self, streams: int) -> None:
        self._free = threading.BoundedSemaphore(streams - (streams >= KEEPS_ONE_FROM))

    @contextmanager
    def entered(self) -> Iterator[bool]:
        """For the length of a step; whether it may be any, or only a picture's."""
        is_any = self._free.acquire(blocking=False)
        try:
            yield is_any
        finally:
            if is_any:
                self._free.release()
