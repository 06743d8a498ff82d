"""Peak: what this machine multiplies at most in a format, and what a network asks of it for a pixel.

The peak is that of a matrix multiplication by oneDNN, the library behind PyTorch; a convolution can pass it
by an algorithm that multiplies less (Winograd), and small frames may live in the cache as matrices don't.
"""

import time
from functools import cache
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from model_core.config import ModelConfig
from model_core.model import Model
from model_core.recurrence import State, step
from worker.engine.backends.precision import Precision
from worker.engine.backends.torch import DTYPES

SIDE: Final = 1536
TRIES: Final = 3  # the best of so many: a peak is what can be had
OPERATIONS: Final = 2 * SIDE**3


class Multiplication:
    """Call it for the operations a second that a matrix multiplication does."""

    def __init__(self, precision: Precision) -> None:
        random = torch.Generator().manual_seed(0)
        left, right = torch.randn(2, SIDE, SIDE, generator=random).unbind()
        if precision == "int8":
            self._left, self._right = (each.mul(30).clamp(-127, 127).to(torch.int8) for each in (left, right))
        else:
            self._left, self._right = (each.to(DTYPES[precision]) for each in (left, right))
        # PyTorch has no public name for a product of bytes that is summed in 32 bits.
        self._multiply = torch._int_mm if precision == "int8" else torch.mm

    def __call__(self) -> float:
        took_s = []
        for _ in range(TRIES):
            started = time.perf_counter()
            self._multiply(self._left, self._right)
            took_s.append(time.perf_counter() - started)
        return OPERATIONS / min(took_s)


@cache
def operations_a_pixel(config: ModelConfig) -> float:
    """Multiplications and additions of G's convolutions for a low-resolution pixel."""
    side = 16
    with torch.device("meta"):
        model, frame = Model(config), torch.empty(1, 3, side, side)
        flow = torch.empty(1, 2, side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        step(model, State.clean(config, frame), frame, flow)
    return float(counter.get_total_flops()) / side**2
