"""Loops over frames, as others write them and as we do: each gives the seconds of one frame after the other.

Motion is found in turn with the rest in both, so that the work is all there; the service finds it beside the
network, in its decoding threads.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import torch

from model_core.config import ModelConfig
from model_core.dis import DisFlow
from model_core.model import Model
from model_core.recurrence import State, step
from worker.engine.backends.base import Backend, Turn
from worker.frames import LowFrame

# TecoGAN-PyTorch's network (FRNet): 64 features, 10 blocks, transposed convolutions.
COMMON: Final = ModelConfig(generator="frvsr", flow="dis", features=64, blocks=10, head="transposed")


class Spent(NamedTuple):
    flow_s: float
    step_s: float

    @property
    def all_s(self) -> float:
        return self.flow_s + self.step_s


def common_loop(config: ModelConfig, frames: Sequence[LowFrame]) -> Iterator[Spent]:
    """The loop that others run, with random weights; no end.

    One frame at a time by PyTorch, float32, NCHW; motion by DIS MEDIUM, warping by grid_sample. Recurrent
    networks as in TecoGAN-PyTorch, those for pictures as in the scripts of Real-ESRGAN.
    """
    torch.manual_seed(0)
    model = Model(config).eval()  # and not model.build's, whose weights are channels-last
    dis = DisFlow(config.flow) if config.recurrent else None
    state: State | None = None
    for before, frame, _ in _triples(frames):
        started = time.perf_counter()
        flow = torch.from_numpy(dis(before, frame))[None] if dis else torch.empty(0)
        found = time.perf_counter()
        with torch.inference_mode():
            low = torch.from_numpy(frame).permute(2, 0, 1)[None].contiguous().float() / 255
            state, high = step(model, state or State.clean(config, low), low, flow)
            (high[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous()
        yield Spent(found - started, time.perf_counter() - found)


def our_loop(backend: Backend, frames: Sequence[LowFrame]) -> Iterator[Spent]:
    """One stream of a backend, without the queues and threads around it; no end."""
    config = backend.config
    dis = DisFlow(config.flow) if config.flow_comes_along else None
    state = backend.start(frames[0], None)
    for before, frame, ahead in _triples(frames):
        started = time.perf_counter()
        flow = None
        if config.recurrent:
            flow = dis(before, frame) if dis else backend.flows([before], [frame])[0]
        found = time.perf_counter()
        [stepped] = backend.step([Turn(state, frame, flow, ahead if config.looks_ahead else None)])
        state = stepped.state
        yield Spent(found - started, time.perf_counter() - found)


def _triples(frames: Sequence[LowFrame]) -> Iterator[tuple[LowFrame, LowFrame, LowFrame]]:
    """Each frame with its neighbours, round and round."""
    for index in itertools.count(1):
        before, frame, ahead = (frames[at % len(frames)] for at in (index - 1, index, index + 1))
        yield before, frame, ahead
