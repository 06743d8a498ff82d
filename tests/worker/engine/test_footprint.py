"""The estimate of a step's memory, held against what PyTorch really allocates for one."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.weak import WeakIdKeyDictionary

from model_core.config import ModelConfig
from model_core.model import build
from worker.engine.backends.footprint import PIXELS_MAX, PIXELS_MIN, bytes_a_pixel, pixels_that_fit
from worker.engine.backends.torch import TorchBackend

MODELS = {
    "teco-lite": ModelConfig(generator="frvsr", flow="dis-fast", window=3, hidden=48, features=96, blocks=3),
    "frvsr-paper": ModelConfig(generator="frvsr", flow="fnet", features=64, blocks=2, head="transposed"),
    "srresnet": ModelConfig(generator="srresnet", flow="none", features=64, blocks=2),
    "compact": ModelConfig(generator="compact", flow="none", features=64, blocks=4),
    "rrdb": ModelConfig(generator="rrdb", flow="none", features=64, blocks=1),
    "srcnn": ModelConfig(generator="srcnn", flow="none", features=64),
}


class PeakBytes(TorchDispatchMode):
    """The most that was alive at once of what was allocated inside."""

    def __init__(self) -> None:
        super().__init__()
        self._alive = WeakIdKeyDictionary()
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for each in tree_iter(made):
            if isinstance(each, torch.Tensor):
                self._alive[each.untyped_storage()] = each.untyped_storage().nbytes()
        self.peak = max(self.peak, sum(self._alive.values()))
        return made


@torch.no_grad()
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_a_step_takes_at_most_the_estimate_and_not_much_less(name, precision):
    config, side = MODELS[name], 48
    backend = TorchBackend(build(config), precision=precision)
    frames = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    inputs = [frames]
    if config.recurrent:
        state = backend.start(frames[0].numpy(), None)
        flow = torch.zeros(1, 2, side, side)
        inputs += [frames, flow, state.frame.clone(), state.output.clone(), state.hidden.clone()]
    with PeakBytes() as seen:
        backend._run(tuple(inputs), None)
    given = sum(each.nbytes for each in inputs)
    estimate = bytes_a_pixel(config, 4 if precision == "float32" else 2)
    assert 0.4 < (seen.peak + given) / side**2 / estimate <= 1


def test_more_memory_gives_larger_calls_within_bounds():
    config = MODELS["teco-lite"]
    assert pixels_that_fit(config, 2, 0) == PIXELS_MIN
    assert pixels_that_fit(config, 2, 1 << 40) == PIXELS_MAX
    small, large = (pixels_that_fit(config, 2, size << 30) for size in (2, 4))
    assert PIXELS_MIN < small < large < PIXELS_MAX
    assert pixels_that_fit(config, 4, 2 << 30) < small
