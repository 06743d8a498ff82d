"""A processor that records steps as a GPU does: each set of shapes reads and writes at the same places."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from worker.engine.backends.place import Array, Host, Recording, Tensors, Work


class _NothingFromHost(TorchDispatchMode):
    """While CUDA records, no number may come from Python: the copy would have to be waited for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten.lift_fresh.default, "a constant was brought from the host"
        return func(*args, **(kwargs or {}))


class _Recorded:
    def __init__(self, work: Work, inputs: Tensors) -> None:
        self._work = work
        self._inputs = tuple(each.clone() for each in inputs)
        with _NothingFromHost():
            self._outputs = tuple(each.clone() for each in work(*self._inputs))
        self.replays = 0

    def replay(self, inputs: Tensors) -> Tensors:
        self.replays += 1
        for place, each in zip(self._inputs, inputs, strict=True):
            place.copy_(each)
        for place, each in zip(self._outputs, self._work(*self._inputs), strict=True):
            place.copy_(each)
        return tuple(each.clone() for each in self._outputs)


class RecordingHost(Host):
    """is_full   recordings find no memory"""

    def __init__(self, *, is_full: bool = False) -> None:
        self.recordings: list[_Recorded] = []
        self.refused = 0
        self.waits = 0  # how often what was computed was waited for
        self._is_full = is_full

    @property
    def replays(self) -> int:
        return sum(each.replays for each in self.recordings)

    def download(self, tensors: Sequence[Tensor]) -> list[Array]:
        self.waits += 1
        return super().download(tensors)

    def record(self, work: Work, inputs: Tensors) -> Recording | None:
        if self._is_full:
            self.refused += 1
            return None
        self.recordings.append(_Recorded(work, inputs))
        return self.recordings[-1]
