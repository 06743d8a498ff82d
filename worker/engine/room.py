"""Room: what the streams of a process may take of its memory together.

One stream of large frames takes gigabytes, half of them in its encoder; eight that begin at once would end
the process, and every job in it. So each takes its share before it opens. Not here: what one call of the
network needs (fitting.py), how many steps run side by side (`worker_streams`).
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

WAKE_S: Final = 0.5  # how often a stream that waits asks whether it still should

# A stream's own, for each pixel of its input frame. Measured: 2.4 kB for 60 frames of 960x540 by `bicubic`,
# half of it the encoder's lookahead; larger frames have shorter queues, a recurrent model adds its state.
BYTES_A_PIXEL: Final = 2_500

SHARE_OF_MACHINE: Final = 0.75  # the rest is for models, files in the page cache, and others
_SHARE_OF_ONE: Final = 0.75  # however large: with small streams beside it, it would wait for ever for all
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


class NoRoom(Exception):
    """Others hold the memory: the step is for later, or for another worker."""


class Room:
    """For any number of threads.

    bytes_max   of all streams together; None: three quarters of what the machine or the container has
    """

    def __init__(self, bytes_max: int | None = None) -> None:
        self.bytes_max = bytes_max or int(machine_bytes() * SHARE_OF_MACHINE)
        self._freed = threading.Condition()
        self.taken_bytes = 0

    @contextmanager
    def taken(self, pixels: int, *, wait_s: float, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold what a stream of frames with so many pixels takes.

        wait_s    after which NoRoom is raised
        on_wait   called now and then meanwhile; may raise
        """
        size = min(pixels * BYTES_A_PIXEL, int(self.bytes_max * _SHARE_OF_ONE))
        ends_at = time.monotonic() + wait_s
        while not self._take(size):
            if time.monotonic() >= ends_at:
                raise NoRoom(
                    f"{self.taken_bytes} of {self.bytes_max} bytes are taken, {size} more are needed"
                )
            on_wait()
        try:
            yield
        finally:
            with self._freed:
                self.taken_bytes -= size
                self._freed.notify_all()

    def _take(self, size: int) -> bool:
        """Take the bytes, if they are to be had within a moment."""
        with self._freed:
            if not self._freed.wait_for(lambda: self.taken_bytes + size <= self.bytes_max, WAKE_S):
                return False
            self.taken_bytes += size
            return True


def machine_bytes() -> int:
    """The memory of the machine, or of the container where that has less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.is_file() else "max"
    return physical if limit == "max" else min(physical, int(limit))
