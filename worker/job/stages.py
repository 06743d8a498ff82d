"""Stages: how long each kind of work took, for a job's report and the metrics. For any number of threads."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from service import metrics


class Stages:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: Counter[str] = Counter()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the time inside as spent on this stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            metrics.STAGE_SECONDS.labels(stage).observe(seconds)
            self.add({stage: seconds})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count what was measured elsewhere, and is in the metrics already."""
        with self._lock:
            self._seconds.update(seconds)

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last call."""
        with self._lock:
            taken, self._seconds = self._seconds, Counter()
            return dict(taken)
