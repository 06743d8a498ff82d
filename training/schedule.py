"""Schedule: learning rate and clip shape from the part of the training that is done. Pure arithmetic."""

import math
from typing import Final

from training.config import TrainingConfig
from training.state import Progress

FINAL_RATE: Final = 0.01  # of the peak, at the end of the cosine


class Schedule:
    """Follows a Progress that the loop moves on; its length is in steps or in seconds of running."""

    def __init__(self, config: TrainingConfig, progress: Progress) -> None:
        self._config, self._progress = config, progress

    @property
    def step(self) -> int:
        return self._progress.step

    @property
    def seconds(self) -> float:
        return self._progress.seconds

    def part(self) -> float:
        """0 at the start, 1 at the end."""
        if self._config.iterations:
            return min(1.0, self._progress.step / self._config.iterations)
        return min(1.0, self._progress.seconds / self._config.seconds)

    def is_over(self) -> bool:
        return self.part() >= 1.0

    def shape(self, step: int) -> tuple[int, int, int]:
        """(batch, frames, crop) of that step; by seconds it is drawn a little ahead, which is harmless."""
        ahead = step / self._config.iterations if self._config.iterations else self.part()
        return self._config.shape_at(ahead)

    def learning_rate(self) -> float:
        """Linear warm-up times a cosine that ends at FINAL_RATE of the peak."""
        cosine = (1 + math.cos(math.pi * self.part())) / 2
        warm = min(1.0, (self._progress.step + 1) / max(1, self._config.warmup_iterations))
        return self._config.learning_rate * warm * (FINAL_RATE + (1 - FINAL_RATE) * cosine)
