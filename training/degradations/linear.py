"""How the low-resolution frames are made from the true ones: `bd` and `bi` of the frozen protocol.

Both are separable and linear, so each is one matrix per axis: low = A_h · target · A_wᵀ. The matrices hold
the border rule too, and the same code runs on a crop, a whole frame, a processor or a GPU. Nothing is random.

bd  Gaussian of sigma 1.5 sampled at the centre of each 4x4 block (high-resolution coordinate 4i + 1.5): an
    even kernel of 12 taps at -5.5 .. 5.5, normalised; reflected borders.
bi  antialiased bicubic, same phase.
"""

from functools import lru_cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from model_core.config import SCALE
from training.config import LinearName

SIGMA: Final = 1.5
TAPS: Final = 12
REACH: Final = (TAPS - SCALE) // 2  # taps that lie outside a block on each side


def degrade(target: Tensor, protocol: LinearName) -> Tensor:
    """(..., H, W) uint8 or float levels -> (..., H/4, W/4) uint8, rounded to the nearest level."""
    return project(target, protocol).round_().clamp_(0, 255).byte()


def project(target: Tensor, protocol: LinearName) -> Tensor:
    """Its linear part: (..., H, W) -> (..., H/4, W/4) fp32 in the units of `target`, differentiable."""
    height, width = target.shape[-2:]
    if height % SCALE or width % SCALE:
        raise ValueError(f"{width}x{height} is not a multiple of {SCALE} on both sides")
    # bf16 holds no more than 8 bits of a level. The matrices are made on the processor and kept.
    with torch.autocast("cpu", enabled=False), torch.autocast(target.device.type, enabled=False):
        down = axis_matrix(height, protocol).to(target.device)
        across = axis_matrix(width, protocol).to(target.device)
        return down @ target.float() @ across.T


def degrade_frames(frames: Tensor, protocol: LinearName) -> Tensor:
    """(T, H, W, 3) uint8 -> (T, h, w, 3) uint8."""
    return degrade(frames.permute(0, 3, 1, 2), protocol).permute(0, 2, 3, 1).contiguous()


@lru_cache(maxsize=64)
def axis_matrix(length: int, protocol: LinearName) -> Tensor:
    """(length/4, length): row i holds the weights with which low sample i sees the high ones."""
    samples = torch.eye(length)[:, None]  # (length, 1, length): one impulse each
    if protocol == "bd":
        padded = F.pad(samples, (REACH, REACH), mode="reflect")
        return F.conv1d(padded, gaussian_taps()[None, None], stride=SCALE)[:, 0].T.contiguous()
    small = F.interpolate(
        samples[..., None, :], size=(1, length // SCALE), mode="bicubic", antialias=True, align_corners=False
    )
    return small[:, 0, 0].T.contiguous()


def gaussian_taps() -> Tensor:
    """(12,) weights of the blur at -5.5 .. 5.5 around a block's centre; their sum is 1."""
    positions = torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1) / 2
    taps = torch.exp(-(positions**2) / (2 * SIGMA**2))
    return (taps / taps.sum()).float()
