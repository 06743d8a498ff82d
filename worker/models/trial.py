"""Trial: what bfloat16 costs a network of which nobody measured it, as a bound from a short moving picture.

For imported models. Ours are measured on held-out clips when they are published; and for int8 too, which
needs real frames.
"""

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor

from model_core.model import Model
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import unroll
from worker.frames import HighFrame

# Of the reconstruction that is spoilt; the better it is, the more a small error takes. Ours reach 26 on Vid4.
ASSUMED_PSNR_DB: Final = 30.0
FRAMES: Final = 6
SHAPE: Final = (36, 48)


@torch.inference_mode()
def bfloat16_loss_db(model: Model) -> float:
    """The most that the difference of the two formats can take from the PSNR of a good reconstruction."""
    config = model.config
    frames, flows = moving_picture(SHAPE, FRAMES if config.recurrent else 1)
    low, known = to_float(frames)[None], flows[None] if config.flow_comes_along else None
    wide = unroll(model, low, known)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = unroll(model, low, known)
    return loss_bound_db(to_uint8(wide[0, -1:]).numpy(), to_uint8(narrow[0, -1:]).numpy())


def loss_bound_db(wide: HighFrame, narrowed: HighFrame) -> float:
    """What the difference between two outputs would take from a reconstruction of ASSUMED_PSNR_DB.

    An error of its own kind adds to the mean square: 10 log10(1 + difference / error).
    """
    difference = float(np.mean(np.square(wide.astype(np.float64) - narrowed)))
    error = 255.0**2 / 10 ** (ASSUMED_PSNR_DB / 10)
    return 10 * math.log10(1 + difference / error)


def moving_picture(shape: tuple[int, int], frame_count: int) -> tuple[Tensor, Tensor]:
    """Seeded soft noise that moves one pixel to the right a frame: (T, h, w, 3) uint8, and its true flows,
    (T-1, 2, h, w)."""
    height, width = shape
    noise = np.random.default_rng(7).uniform(size=(height + 2, width + frame_count + 2, 3))
    soft = (
        noise[1:-1, 1:-1] * 2 + noise[:-2, 1:-1] + noise[2:, 1:-1] + noise[1:-1, :-2] + noise[1:-1, 2:]
    ) / 6
    levels = np.round(soft * 255).astype(np.uint8)
    frames = np.stack([levels[:, frame_count - t : frame_count - t + width] for t in range(frame_count)])
    flows = torch.zeros(frame_count - 1, 2, height, width)
    flows[:, 0] = -1  # a pixel was one to the left
    return torch.from_numpy(frames), flows
