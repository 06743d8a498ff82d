"""A tiny seeded network whose recurrence matters, clips for it, and the slow judge of the fast engine."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from model_core import recurrence
from model_core.config import SCALE, ModelConfig
from model_core.model import Model, build
from model_core.pixels import to_float, to_uint8, to_uint16
from model_core.recurrence import State


def make_model(flow: str = "dis", **config) -> Model:
    """Random weights, scaled until the last output weighs as much as the frame and fades within some frames.

    At their plain scale random weights hide a state that leaks or is lost: it would change less than a level.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(ModelConfig(generator="frvsr", flow=flow, features=8, blocks=2, **config))
    last = model.generator.head[0 if model.config.head == "subpixel" else -1]
    last.weight.data *= 3
    if flow == "fnet":
        model.flow_net.head[-1].weight.data *= 30  # flows of a pixel or so instead of nearly none
    return model.eval().requires_grad_(False)


def make_picture_model(generator: str, *, blocks: int) -> Model:
    """A single-image network of random weights, scaled until its body weighs as much as its skip."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ModelConfig(generator=generator, flow="none", features=8, blocks=blocks, growth=4)
        model = build(config)
    for name, weight in model.named_parameters():
        if name.endswith("weight"):
            weight.data *= 2
    return model.eval().requires_grad_(False)


class Clip:
    """Random frames with the flows that come with them, if any, and the frames after which to round."""

    def __init__(
        self,
        seed: int,
        shape=(16, 24),
        length: int = 20,
        *,
        flow: str = "dis",
        rounds: float = 0.0,
        is_deep: bool = False,
    ):
        random = np.random.default_rng(seed)
        self.shape = shape
        self.is_deep = is_deep
        if is_deep:
            self.frames = random.integers(10_000, 55_000, (length, *shape, 3), dtype=np.uint16)
        else:
            self.frames = random.integers(40, 216, (length, *shape, 3), dtype=np.uint8)
        flows = random.normal(0, 2, (length, 2, *shape)).astype(np.float32)
        self.flows = [None] + [flows[t] if flow.startswith("dis") else None for t in range(1, length)]
        self.rounded = random.random(length) < rounds

    def __len__(self) -> int:
        return len(self.frames)


class PanningClip(Clip):
    """A texture that moves by a low pixel and a quarter a frame, its true flow, and the truth it was made of.

    For weights that have learned something: what they make of noise says little about what a format costs.
    """

    PACE = 5  # high-resolution pixels a frame

    def __init__(self, seed: int, shape=(48, 64), length: int = 20, *, rounds: float = 0.0):
        super().__init__(seed, shape, length, rounds=rounds)
        random = np.random.default_rng(seed)
        height, width = shape[0] * SCALE, shape[1] * SCALE
        full = width + self.PACE * length
        coarse = (random.uniform(0, 255 / 4, (height // k, full // k, 3)) for k in (4, 8, 16, 32))
        scene = sum(cv2.resize(each, (full, height), interpolation=cv2.INTER_CUBIC) for each in coarse)
        scene = scene.clip(0, 255).round().astype(np.uint8)
        places = range(0, self.PACE * length, self.PACE)
        self.target = np.stack([scene[:, x : x + width] for x in places])
        self.frames = np.stack(
            [cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA) for frame in self.target]
        )
        flow = np.zeros((2, *shape), np.float32)
        flow[0] = self.PACE / SCALE
        self.flows = [None] + [flow] * (length - 1)

    def psnr_db(self, outputs: Sequence[np.ndarray]) -> float:
        return float(10 * np.log10(255**2 / np.mean((np.stack(outputs).astype(float) - self.target) ** 2)))


@torch.inference_mode()
def upscale_alone(model: Model, clip: Clip) -> np.ndarray:
    """(T, H, W, 3) uint8, or uint16 of a deep clip: frame by frame, one stream, nothing but model_core."""
    state = State.clean(model.config, to_float(torch.from_numpy(clip.frames[:1])))
    outputs = []
    for t, frame in enumerate(clip.frames):
        low = to_float(torch.from_numpy(frame[None]))
        flow_low = torch.zeros(1, 2, *clip.shape)
        if t and model.config.flow_comes_along:
            flow_low = torch.from_numpy(clip.flows[t][None])
        elif t and model.flow_net is not None:
            flow_low = recurrence.estimate_flow(model, state.frame, low)
        ahead = to_float(torch.from_numpy(clip.frames[t + 1 : t + 2])) if t + 1 < len(clip) else None
        state, high = recurrence.step(model, state, low, flow_low, ahead=ahead)
        if clip.rounded[t]:
            state = state.rounded(65_535 if clip.is_deep else 255)
        outputs.append((to_uint16 if clip.is_deep else to_uint8)(high).numpy()[0])
    return np.stack(outputs)


def assert_levels_close(found: Sequence[np.ndarray], expected: np.ndarray) -> None:
    """At most 1 level, on at most 0.1 % of samples."""
    assert len(found) == len(expected)
    difference = np.abs(np.stack(found).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001
