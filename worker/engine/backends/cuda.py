"""CUDA: what torch.py needs of a GPU and of nothing else; all that can run on a processor is outside.

One stream for all of a backend's work, as each part of a step needs the one before. Pixels cross the bus as
whole numbers by pinned memory, which PyTorch keeps and hands out again: a frame's own is what the encoder
reads, so the engine's thread copies none. The host waits once a step, for the frames it hands out.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.engine.backends.place import Array, Recording, Tensors, Work

log = logging.getLogger(__name__)


class Cuda:
    """See place.Place."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # PyTorch lets convolutions round their inputs to TF32's ten bits, which would not be float32.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        # Trying all algorithms for each new size would cost pictures seconds: see `tuned`.
        torch.backends.cudnn.benchmark = False
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()  # of all graphs, since no two of them run at once

    @property
    def free_bytes(self) -> int:
        """What nobody has of the device's memory."""
        return torch.cuda.mem_get_info(self.device)[0]

    def here(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._stream)

    @contextmanager
    def tuned(self) -> Iterator[None]:
        """Each convolution by the fastest algorithm for its size, found by trying."""
        torch.backends.cudnn.benchmark = True
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = False

    def upload(self, arrays: Sequence[Array]) -> Tensor:
        pinned = torch.empty((len(arrays), *arrays[0].shape), dtype=_dtype_of(arrays[0]), pin_memory=True)
        np.stack(arrays, out=pinned.numpy())
        # PyTorch hands the pinned memory out again when the copy is done, not before.
        return pinned.to(self.device, non_blocking=True)

    def download(self, tensors: Sequence[Tensor]) -> list[Array]:
        pinned = [torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in tensors]
        for into, each in zip(pinned, tensors, strict=True):
            into.copy_(each, non_blocking=True)
        self._stream.synchronize()
        return [each.numpy() for each in pinned]

    def record(self, work: Work, inputs: Tensors) -> Recording | None:
        try:
            return _Graph(work, inputs, pool=self._pool)
        except RuntimeError:  # such as memory that a graph would have to have for itself
            log.warning("step_not_recorded", exc_info=True)
        torch.cuda.empty_cache()
        return None


class _Graph:
    """A step as one CUDA graph, which reads and writes at the same places each time."""

    def __init__(self, work: Work, inputs: Tensors, *, pool: Any) -> None:
        self._work = work  # with the constants that it reads at their places
        self._inputs = tuple(each.clone() for each in inputs)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may ask the device for memory meanwhile: a model that is being loaded, say. The
        # algorithms are those that `Cuda.tuned` found.
        torch.backends.cudnn.benchmark = True
        try:
            with torch.cuda.graph(
                self._graph,
                pool=pool,
                stream=torch.cuda.current_stream(),
                capture_error_mode="thread_local",
            ):
                self._outputs = self._work(*self._inputs)
        finally:
            torch.backends.cudnn.benchmark = False

    def replay(self, inputs: Tensors) -> Tensors:
        for place, each in zip(self._inputs, inputs, strict=True):
            place.copy_(each)
        self._graph.replay()
        return tuple(each.clone() for each in self._outputs)


def _dtype_of(array: Array) -> torch.dtype:
    return torch.from_numpy(np.empty(0, array.dtype)).dtype
