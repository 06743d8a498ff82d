"""Meter: how many pixels this worker has upscaled since when, so that a job's share of its time is known."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

_STEP_S: Final = 0.25
_KEPT: Final = 50_000  # steps: three hours and a half of work


class Meter:
    """Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._total = 0.0
        self._seen: deque[tuple[float, float]] = deque([(clock(), 0.0)], maxlen=_KEPT)  # when, total by then
        self._lock = threading.Lock()

    def add(self, megapixels: float) -> None:
        with self._lock:
            now, latest = self._clock(), self._seen[-1][0]
            self._total += megapixels
            if now - latest >= _STEP_S:
                self._seen.append((now, self._total))
            else:
                self._seen[-1] = (latest, self._total)

    def since(self, seconds_ago: float) -> float:
        """Megapixels that came in and were upscaled in these last seconds."""
        with self._lock:
            begin = self._clock() - seconds_ago
            before = next((total for when, total in reversed(self._seen) if when <= begin), 0.0)
            return self._total - before
