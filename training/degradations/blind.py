"""A crop under the blind degradation, drawn anew each time: its low frames, and the motion that they show.

The crop is degraded with a margin around it, so that kernels, codecs and the motion estimate see what they
see on whole frames, and the margin is cut away. Motion is that of the degraded frames, as in serving.
Not here: the degradations (bsrgan.py, uploads.py), and which crop (data/sampler.py).
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model_core.config import SCALE
from model_core.dis import DisFlow
from training.degradations.bsrgan import Step, apply_steps

MARGIN: Final = 8  # low-resolution pixels; the widest kernels reach 10 of those, and weigh little there


class DrawSteps(Protocol):
    """The steps for a clip of that shape, in high-resolution pixels (bsrgan.py, uploads.py)."""

    def __call__(self, rng: Generator, frames: int, height: int, width: int, /) -> list[Step]: ...


def degrade_crop(
    draw_steps: DrawSteps,
    rng: Generator,
    frames: Sequence[NDArray[np.uint8]],
    place: tuple[int, int],
    crop: int,
) -> tuple[NDArray[np.uint8], tuple[slice, slice], list[Step]]:
    """Low frames (T, h, w, 3) of a crop and its margin, where in them the crop lies, and how they were made.

    frames  T whole ones (H, W, 3), as played
    place   (y, x) of the crop in low-resolution pixels; the margin ends where the frame does
    """
    bounds = [
        (max(0, start - MARGIN), min(side // SCALE, start + crop + MARGIN))
        for start, side in zip(place, frames[0].shape[:2], strict=True)
    ]
    high = tuple(slice(start * SCALE, stop * SCALE) for start, stop in bounds)
    target = np.stack([frame[high] for frame in frames])
    steps = draw_steps(rng, *target.shape[:3])
    low = apply_steps(rng, steps, target)
    y, x = (start - bound[0] for start, bound in zip(place, bounds, strict=True))
    return low, (slice(y, y + crop), slice(x, x + crop)), steps


def motion(
    dis: DisFlow, low: NDArray[np.uint8], pairs: Sequence[tuple[int, int]], inner: tuple[slice, slice]
) -> NDArray[np.float32]:
    """(F, 2, h, w) for those (before, here) positions in low, cut to `inner`; each pair estimated once."""
    found = {pair: dis(low[pair[0]], low[pair[1]])[:, *inner] for pair in set(pairs)}
    return np.stack([found[pair] for pair in pairs])
