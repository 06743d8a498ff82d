"""Place: where PyTorch's tensors lie, how pixels get there and back, and whether a step is recorded there.

Here are what torch.py asks of one, and a processor's memory, where little is to be done. Not here: what CUDA
has of its own (cuda.py), when a step is recorded (replaying.py).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Tensors = tuple[Tensor, ...]
Work = Callable[..., Tensors]  # a function of tensors alone, the same operations for the same shapes


class Recording(Protocol):
    """One step for one set of shapes."""

    def replay(self, inputs: Tensors) -> Tensors:
        """What the step makes of the inputs, in memory of its own."""


class Place(Protocol):
    """For one thread."""

    @property
    def device(self) -> torch.device: ...

    def here(self) -> AbstractContextManager[object]:
        """Around all that is done with its tensors."""

    def tuned(self) -> AbstractContextManager[object]:
        """Around a step of shapes that will come again: what is slow to find out pays now."""

    def upload(self, arrays: Sequence[Array]) -> Tensor:
        """N arrays of one shape, one after the other."""

    def download(self, tensors: Sequence[Tensor]) -> list[Array]:
        """Their values, each in memory of its own, when all are there."""

    def record(self, work: Work, inputs: Tensors) -> Recording | None:
        """The step of these shapes, to be replayed; None where that is not done or did not work."""


class Host:
    """A processor's memory."""

    device = torch.device("cpu")

    def here(self) -> AbstractContextManager[object]:
        return nullcontext()

    def tuned(self) -> AbstractContextManager[object]:
        return nullcontext()

    def upload(self, arrays: Sequence[Array]) -> Tensor:
        return torch.from_numpy(np.stack(arrays))

    def download(self, tensors: Sequence[Tensor]) -> list[Array]:
        # A row would keep its whole batch alive.
        return [
            np.array(each.numpy()) if each.untyped_storage().nbytes() > each.nbytes else each.numpy()
            for each in tensors
        ]

    def record(self, work: Work, inputs: Tensors) -> Recording | None:
        return None
