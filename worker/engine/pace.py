"""Pace: when the thread that owns a device was last heard of, and whether its silence is that of a hang.

The clock alone can't tell a hung device from a large frame: one tile of a deep network takes a small, busy
machine minutes. So every call says how many pixels it is given and is measured, and a silence is judged by
what the call in hand may take at the speed that was seen last.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# Whatever the call: making a graph for a new size, or reading memory back from a disk.
SILENT_S_MAX: Final = 120.0
# Times slower than the call before, pixel for pixel, when others come to the same machine.
SLOWER_MAX: Final = 10
PIXELS_MIN: Final = 256  # a call of fewer takes as long


class Pace:
    """Told by one thread, read by any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # When, and the pixels in hand since; one value, so that none reads half of it.
        self._heard = (clock(), 0)
        self._pixel_s = 0.0

    def tell(self) -> None:
        """The thread is alive and has nothing in hand."""
        self._heard = (self._clock(), 0)

    @contextmanager
    def call(self, pixels: int) -> Iterator[None]:
        """Around a call of the device, of so many low-resolution pixels; and around each of its parts."""
        began_at, (_, whole) = self._clock(), self._heard
        self._heard = (began_at, pixels)
        try:
            yield
            self._pixel_s = (self._clock() - began_at) / max(pixels, PIXELS_MIN)
        finally:
            self._heard = (self._clock(), whole)

    def stuck_s(self) -> float | None:
        """Seconds since the thread was heard of, if that is longer than what it has in hand explains."""
        heard_at, pixels = self._heard
        silent_s = self._clock() - heard_at
        return silent_s if silent_s > max(SILENT_S_MAX, SLOWER_MAX * self._pixel_s * pixels) else None
