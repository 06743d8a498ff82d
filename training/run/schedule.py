"""Schedule: the learning rate from the part of the training that is done. Pure arithmetic."""

import math
from typing import Final

from training.config import ScheduleConfig
from training.run.state import Progress

FINAL_RATE: Final = 0.01  # of the peak, at the end of the cosine


class Schedule:
    """Follows a Progress that the loop moves on; its length is in steps or in seconds of running."""

    def __init__(self, config: ScheduleConfig, progress: Progress) -> None:
        self._config, self._progress = config, progress

    @property
    def progress(self) -> Progress:
        return self._progress

    @property
    def step(self) -> int:
        return self._progress.step

    def part(self) -> float:
        """0 at the start, 1 at the end; 0 for ever where there is none."""
        progress = self._progress
        if self._config.iterations:
            return min(1.0, (progress.step - progress.branch_step) / self._config.iterations)
        if self._config.seconds:
            return min(1.0, (progress.seconds - progress.branch_seconds) / self._config.seconds)
        return 0.0

    def is_over(self) -> bool:
        return self.part() >= 1.0

    def learning_rate(self) -> float:
        """Linear warm-up times the course: constant, a cosine down to FINAL_RATE, or a line to nothing."""
        match self._config.rate_course:
            case "constant":
                course = 1.0
            case "cosine":
                course = FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * self.part())) / 2
            case "linear":
                course = 1 - self.part()
        warm = min(1.0, (self._progress.step + 1) / max(1, self._config.warmup_iterations))
        return self._config.learning_rate * warm * course
