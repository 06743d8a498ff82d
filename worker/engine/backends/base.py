"""Backend: what runs one model on one device, for the one thread that owns it.

Not here: who advances (scheduler.py), queues (stream.py). Implementations: torch.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model_core.config import ModelConfig
from model_core.recurrence import State

Picture = NDArray[np.uint8]  # (h, w, 3) or (H, W, 3), RGB
Flow = Tensor | NDArray[np.float32]  # (2, h, w) low-resolution pixels, on the device or as it came


@dataclass(frozen=True, slots=True)
class Stepped:
    """One stream after one step. `output` is None where the network gave a number that is not finite."""

    state: State | None
    output: Picture | None  # (H, W, 3) uint8, memory of its own


class Backend(Protocol):
    """All sequences of one call have the same length and all pictures the same shape."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def name(self) -> str:
        """For the job's report, such as "torch-cpu"."""

    @property
    def precision(self) -> str: ...

    @property
    def tile_pixels_max(self) -> int:
        """Low-resolution pixels that one call of the generator takes; larger frames run in tiles."""

    def start(self, shape: tuple[int, int], resume: tuple[Picture, Picture] | None) -> State | None:
        """A clean state, or the one stored as (last frame, last output); None for single-image models."""

    def flows(self, previous: Sequence[Picture], frames: Sequence[Picture]) -> list[Flow]:
        """Where a pixel of each frame was in the one before it; only where F is a network."""

    def step(
        self,
        states: Sequence[State | None],
        frames: Sequence[Picture],
        flows: Sequence[Flow | None],
        rounded: Sequence[bool],
    ) -> list[Stepped]:
        """Advance each stream by a frame.

        A flow of None is zero; `rounded` puts the new state on whole levels.
        """
