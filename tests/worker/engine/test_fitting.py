"""Where memory runs out, batches and tiles become smaller, and only a frame that fits nowhere is given up.

The memory is a network that refuses more than so many pixels in one call, as a device does.
"""

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from torch import nn

from model_core.model import Model
from service.errors import FrameTooLarge
from tests.worker.engine.judge import Clip, make_model, make_picture_model
from worker.engine import fitting
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine
from worker.engine.fitting import is_out_of_memory


class Small(nn.Module):
    """A network on a device with memory for `pixels_max` in one call; `calls` has the pixels of each."""

    def __init__(self, inner: nn.Module, pixels_max: int) -> None:
        super().__init__()
        self.inner, self.pixels_max, self.calls = inner, pixels_max, []

    def forward(self, inputs):
        count, _, height, width = inputs.shape
        self.calls.append(count * height * width)
        if self.calls[-1] > self.pixels_max:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.inner(inputs)

    @property
    def refusals(self) -> int:
        return sum(pixels > self.pixels_max for pixels in self.calls)


def small(model: Model, pixels_max: int) -> tuple[Model, Small]:
    model.generator = Small(model.generator, pixels_max)
    return model, model.generator


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    monkeypatch.setattr(fitting, "TILE_PIXELS_MIN", 16 * 16)


def outputs_of(engine: Engine, clips: list[Clip]) -> list[list[np.ndarray]]:
    """All of them at once, so that they share batches."""
    with ExitStack() as stack:
        streams = [stack.enter_context(engine.open(*clip.shape)) for clip in clips]
        with engine._device:  # all frames are there when the first tick begins
            for stream, clip in zip(streams, clips, strict=True):
                for frame, flow in zip(clip.frames, clip.flows, strict=True):
                    stream.put(frame, flow)
                stream.end()
        return [[stream.get() for _ in clip.frames] for stream, clip in zip(streams, clips, strict=True)]


def test_a_batch_that_does_not_fit_is_halved_and_stays_small():
    clips = [Clip(seed, length=4) for seed in range(4)]
    with Engine(TorchBackend(make_model("dis"))) as engine:
        expected = outputs_of(engine, clips)
    model, network = small(make_model("dis"), pixels_max=2 * 16 * 24)
    with Engine(TorchBackend(model)) as engine:
        made = outputs_of(engine, clips)
        assert np.abs(np.array(made, int) - np.array(expected, int)).max() <= 1
        assert 1 <= network.refusals <= 2
        network.calls.clear()
        outputs_of(engine, clips)
        assert network.refusals == 0


def test_a_frame_that_does_not_fit_runs_in_smaller_tiles():
    clip = Clip(0, (64, 96), 1, flow="none")
    with Engine(TorchBackend(make_picture_model("srresnet", blocks=1))) as engine:
        [[expected]] = outputs_of(engine, [clip])
    model, network = small(make_picture_model("srresnet", blocks=1), pixels_max=40 * 40)
    with Engine(TorchBackend(model)) as engine:
        [[made]] = outputs_of(engine, [clip])
        assert np.abs(made.astype(int) - expected).max() <= 1
        assert 1 <= network.refusals <= 2


def test_only_the_stream_whose_frame_fits_nowhere_fails():
    model, _ = small(make_picture_model("srresnet", blocks=1), pixels_max=10 * 10)
    with Engine(TorchBackend(model)) as engine, engine.open(64, 96) as large, engine.open(8, 8) as other:
        large.put(np.zeros((64, 96, 3), np.uint8))
        with pytest.raises(FrameTooLarge, match="96x64"):
            large.get()
        other.put(np.zeros((8, 8, 3), np.uint8))
        assert other.get() is not None
        assert engine.failure is None


def test_what_runtimes_say_when_memory_ends_is_understood():
    for work in (lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            work()
        assert is_out_of_memory(caught.value)
    for told in ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "CUDA error: out of memory", "std::bad_alloc"):
        assert is_out_of_memory(RuntimeError(told))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(ValueError("out of memory"))
