"""Fitting: what does not fit into memory at once is done in smaller batches, then in smaller tiles.

What was learned stays for as long as the engine lives, or every tick would run out of memory anew. Results do
not depend on it but by a level (tiles.py). Start reading at `Fitting.run`.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import torch

from service.errors import FrameTooLarge
from worker.engine.backends.base import Backend
from worker.engine.scheduler import Shape

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

# 256x256: with the widest halo a quarter of such a tile is kept; of one half as large, nothing.
TILE_PIXELS_MIN: Final = 1 << 16
# As they stand in the messages of PyTorch's processors, CUDA, cuDNN and cuBLAS, and OpenVINO.
_OUT_OF_MEMORY: Final = ("can't allocate memory", "out of memory", "alloc_failed", "bad_alloc")


class Fitting:
    """For one backend; used by the one thread that owns it."""

    def __init__(self, backend: Backend, *, batch_max: int) -> None:
        self._backend = backend
        self._batch_max = batch_max
        self._batch_pixels_max = backend.tile_pixels_max

    def batch_max(self, shape: Shape) -> int:
        """How many frames of that shape are run at once."""
        pixels_max = min(self._batch_pixels_max, self._backend.tile_pixels_max)
        return max(1, min(self._batch_max, pixels_max // (shape[0] * shape[1])))

    def run(
        self, work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item], shape: Shape
    ) -> list[Result | FrameTooLarge]:
        """What `work` makes of the items, of which each has a frame of that shape.

        In their order; the error stands for an item that does not fit even alone and in the smallest tiles.
        """
        try:
            return list(work(items))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("memory_ran_out", extra={"reason": str(error), "frames": len(items)})
        # Out of the handler, whose traceback keeps what was allocated.
        torch.cuda.empty_cache()
        height, width = shape[:2]
        if len(items) > 1:
            self._batch_pixels_max = len(items) * height * width // 2
            half = (len(items) + 1) // 2
            return [each for part in (items[:half], items[half:]) for each in self.run(work, part, shape)]
        if self._shrink_tiles(height * width):
            return self.run(work, items, shape)
        message = f"a frame of {width}x{height} needs more memory than the device has"
        return [FrameTooLarge(message, field="frame", value=f"{width}x{height}")]

    def _shrink_tiles(self, pixels: int) -> bool:
        """Halve what one call of the generator is given, where that is more than the least."""
        given = min(pixels, self._backend.tile_pixels_max)
        if given <= TILE_PIXELS_MIN:
            return False
        self._backend.tile_pixels_max = max(TILE_PIXELS_MIN, given // 2)
        return True


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _OUT_OF_MEMORY)
