"""Pictures and shots that tests make for themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.config import TrainingConfig
from training.data.sources import is_held_out
from training.degradations.bsrgan import Step, apply_steps
from training.losses.perceptual import ALEXNET, ALEXNET_TAKEN_AFTER, VGG16, VGG_TAKEN_AFTER, shapes


def config_of(**values: Any) -> TrainingConfig:
    """The defaults but for the values of those keys."""
    return TrainingConfig().override(values)


def shot_name(*, held_out: bool) -> str:
    """A name whose hash puts the shot on that side."""
    return next(name for name in (f"shot-{i}" for i in range(1000)) if is_held_out(name) == held_out)


def textured(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 with detail at every scale, so that motion can be seen and enlarging has work to do."""
    rng = np.random.default_rng(seed)
    levels = [
        cv2.resize(rng.uniform(0, 85, (height >> k, width >> k, 3)), (width, height)) for k in (1, 3, 4)
    ]
    return np.sum(levels, axis=0).astype(np.uint8)


def panning(frames: int, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """(T, H, W, 3): a texture that moves by two pixels a frame."""
    scene = textured(height, width + 2 * frames, seed)
    return np.stack([scene[:, 2 * t : 2 * t + width] for t in range(frames)])


def write_frames(folder: Path, frames: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index:08d}.png"), frame[..., ::-1])


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    av = pytest.importorskip("av")  # the rest of these tests runs without it
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def degraded(
    draw_steps: Callable[..., list[Step]], seed: int, target: NDArray[np.uint8], *, codec: bool = True
) -> NDArray[np.uint8]:
    """(T, H, W, 3) -> (T, H/4, W/4, 3), steps and noise drawn from the seed."""
    rng = np.random.default_rng(seed)
    return apply_steps(rng, draw_steps(rng, *target.shape[:3], codec=codec), target)


def random_vgg() -> dict[str, torch.Tensor]:
    """Weights of VGG16's shapes: what they see is nonsense, but signals come through alive."""
    return random_weights(shapes(VGG16, VGG_TAKEN_AFTER["lpips"]))


def random_alexnet() -> dict[str, torch.Tensor]:
    return random_weights(shapes(ALEXNET, ALEXNET_TAKEN_AFTER))


def random_weights(wanted: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        name: (torch.randn(shape, generator=random) * (2 / (9 * shape[1])) ** 0.5).half()
        if len(shape) == 4
        else torch.zeros(shape).half()
        for name, shape in wanted.items()
    }


def random_heads(channels: tuple[int, ...] = (64, 128, 256, 512, 512)) -> dict[str, torch.Tensor]:
    """Heads of LPIPS's shapes, by default those for VGG16."""
    random = torch.Generator().manual_seed(0)
    return {
        f"lin{level}.model.1.weight": torch.rand(1, count, 1, 1, generator=random) / count
        for level, count in enumerate(channels)
    }
