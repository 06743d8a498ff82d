"""Pool: readers of pictures that go on to the next one, as starting one costs more than a small picture.

A fork and its end take some ten milliseconds of processor time, and a small picture takes one. So a reader
that ended well is kept for the same owner's next picture, a bounded number of times: whoever takes a reader
over by a file reaches no more than what is the same owner's. Videos have a reader each (parent.py).
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from worker.media.sandbox.keeper import KEEPER, Keeper
from worker.media.sandbox.parent import Reader
from worker.media.sandbox.ring import Ring

IDLE_MAX: Final = 8  # as many as a worker runs steps by default
USES_MAX: Final = 64


@dataclass(slots=True)
class Pooled:
    """A reader with the memory that it and the worker share, made for pictures of so many pixels."""

    owner: str | None
    pixels_max: int
    ring: Ring
    reader: Reader
    uses: int = 0

    def close(self) -> None:
        self.reader.close()
        self.ring.close()


class Pool:
    """Any thread may take one."""

    def __init__(self, *, slots: int, pixel_bytes: int, keeper: Keeper = KEEPER) -> None:
        self._slots, self._pixel_bytes, self._keeper = slots, pixel_bytes, keeper
        self._lock = threading.Lock()
        self._idle: deque[Pooled] = deque()  # the longest unused first

    @contextmanager
    def taken(self, owner: str | None, pixels_max: int) -> Iterator[Pooled]:
        """One for this owner's picture; it is kept if the block ends well, and ended if it does not."""
        pooled = self._pop(owner, pixels_max) or self._made(owner, pixels_max)
        pooled.uses += 1
        try:
            yield pooled
        except BaseException:
            pooled.close()
            raise
        self._keep(pooled)

    def close(self) -> None:
        """End those that are idle."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _pop(self, owner: str | None, pixels_max: int) -> Pooled | None:
        with self._lock:
            fit = [each for each in self._idle if (each.owner, each.pixels_max) == (owner, pixels_max)]
            for pooled in reversed(fit):
                self._idle.remove(pooled)
                if pooled.reader.is_idle:
                    return pooled
                pooled.close()  # the zygote died, or it speaks without being asked
        return None

    def _made(self, owner: str | None, pixels_max: int) -> Pooled:
        ring = Ring.make(pixels_max * self._pixel_bytes, self._slots)
        try:
            reader = Reader(pixels=pixels_max, ring=ring, keeper=self._keeper)
        except BaseException:
            ring.close()
            raise
        return Pooled(owner, pixels_max, ring, reader)

    def _keep(self, pooled: Pooled) -> None:
        if pooled.uses >= USES_MAX:
            pooled.close()
            return
        pooled.ring.clear()
        with self._lock:
            self._idle.append(pooled)
            excess = [self._idle.popleft() for _ in range(len(self._idle) - IDLE_MAX)]
        for each in excess:
            each.close()
