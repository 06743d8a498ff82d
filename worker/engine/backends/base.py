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
from worker.engine.pace import Pace
from worker.frames import HighFrame, LowFrame, YuvFrame
from worker.yuv import Yuv420

Flow = Tensor | NDArray[np.float32]  # (2, h, w) low-resolution pixels, on the device or as it came
Kept = object  # what a backend hands from step to step of a stream; of what kind only it knows


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state at whole levels, from which another stream goes on just as the one that left it."""

    frame: LowFrame  # the last one, (h, w, 3)
    output: HighFrame  # what was made of it, (H, W, 3)
    hidden: NDArray[np.int8]  # (h, w, hidden), in recurrence.HIDDEN_LEVELS


@dataclass(frozen=True, slots=True)
class Turn:
    """One stream's part in a step."""

    state: Kept | None  # None for single-image models
    frame: LowFrame
    flow: Flow | None = None  # None: zero
    ahead: LowFrame | None = None  # the frame after it, where the model looks ahead; None: there is none
    keeps_state: bool = False  # the new state is rounded to whole levels, and the output is RGB
    yuv: Yuv420 | None = None  # else the output is that and not RGB

    @property
    def output_kind(self) -> Yuv420 | None:
        """None: RGB."""
        return None if self.keeps_state else self.yuv


@dataclass(frozen=True, slots=True)
class Stepped:
    """One stream after one step."""

    state: Kept | None
    output: HighFrame | YuvFrame | None  # memory of its own; None where it is not finite
    snapshot: Snapshot | None = None  # of the new state, where the turn keeps it


class Backend(Protocol):
    """All frames of one call have the same shape."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def name(self) -> str:
        """For the job's report, such as "torch-cpu"."""

    @property
    def precision(self) -> str: ...

    tile_pixels_max: int
    """Low-resolution pixels that one call of the generator takes; larger frames run in tiles. Lowered by the
    engine where memory runs out."""

    @property
    def pace(self) -> Pace:
        """Told of each tile: a frame may take minutes."""

    @property
    def makes_yuv(self) -> bool:
        """Whether turns may ask for it."""

    def answers(self) -> bool:
        """Whether the device still takes work from this process."""

    def start(self, frame: LowFrame, resume: Snapshot | None) -> Kept | None:
        """The state before `frame`: a clean one, or that of the snapshot; None for single-image models."""

    def flows(self, previous: Sequence[LowFrame], frames: Sequence[LowFrame]) -> list[Flow]:
        """Where a pixel of each frame was in the one before it; only where F is a network."""

    def step(self, turns: Sequence[Turn]) -> list[Stepped]:
        """Advance each stream by a frame."""
