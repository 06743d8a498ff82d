"""Losses of pixels and motion: pure functions of tensors, unweighted; run/step.py weighs them.

Not here: what D thinks (critic.py), what VGG sees (perceptual.py), best buddies (best_buddy.py).
"""

from typing import Final

import torch
from torch import Tensor

from model_core.warping import warp
from training.config import PixelLossName

LUMA: Final = (0.299, 0.587, 0.114)
CHARBONNIER_EPSILON: Final = 1e-3  # a quarter of a level; below it the distance turns from linear to square
LOG_SQUARE_EPSILON: Final = 1e-4  # 40 dB; clips that are nearly flat must not outweigh the others
END_POINT_EPSILON: Final = 0.01  # low-resolution pixels
END_POINT_POWER: Final = 0.4


def charbonnier(high: Tensor, target: Tensor) -> Tensor:
    """Mean of sqrt((high - target)² + ε²): an L1 that is smooth at zero.

    Source: Lai et al. 2017, LapSRN (arXiv:1704.03915), eq. 2.
    """
    return torch.sqrt((high - target) ** 2 + CHARBONNIER_EPSILON**2).mean()


def log_square(high: Tensor, target: Tensor) -> Tensor:
    """Mean over clips (the first axis) of log(mean square error + ε): PSNR itself, turned round and unscaled.

    Charbonnier aims at the median of what is possible, this at the mean, as PSNR does; and each clip counts
    by the part of its error that goes, not by how large that error was.
    Source: the PSNR loss of NAFNet, Chen et al. 2022 (arXiv:2204.04676), per clip.
    """
    return torch.log(((high - target) ** 2).flatten(1).mean(1) + LOG_SQUARE_EPSILON).mean()


def of_each_clip(high: Tensor, target: Tensor, kind: PixelLossName, luma_share: float) -> Tensor:
    """(N,): the distance of each clip (N, T, 3, H, W) from the truth, a share of it measured on luma."""
    distance = charbonnier if kind == "charbonnier" else log_square

    def of_one(high: Tensor, target: Tensor) -> Tensor:
        if not luma_share:
            return distance(high, target)
        return luma_share * distance(luma(high), luma(target)) + (1 - luma_share) * distance(high, target)

    return torch.stack([of_one(a[None], b[None]) for a, b in zip(high, target, strict=True)])


def luma(high: Tensor) -> Tensor:
    """(..., 3, H, W) RGB -> (..., H, W) by the weights of BT.601."""
    return (high * high.new_tensor(LUMA).view(3, 1, 1)).sum(-3)


def warping(previous: Tensor, frame: Tensor, flow_low: Tensor) -> Tensor:
    """Mean squared distance of a frame and its predecessor moved onto it; teaches F without known motion.

    previous, frame (N, 3, h, w); flow_low (N, 2, h, w) low-resolution pixels from `frame` back to `previous`.
    Source: FRVSR, Sajjadi et al. 2018 (arXiv:1801.04590), eq. 4.
    """
    return ((warp(previous, flow_low) - frame) ** 2).mean()


def robust_end_point(flow: Tensor, truth: Tensor) -> Tensor:
    """Mean of (|flow - truth|₁ + ε)^0.4 over the pixels: outliers, where motion is hidden, weigh little.

    flow, truth (N, 2, h, w) in the same pixels. Source: PWC-Net, Sun et al. 2018 (arXiv:1709.02371), eq. 2.
    """
    return ((flow - truth).abs().sum(dim=1) + END_POINT_EPSILON).pow(END_POINT_POWER).mean()


def ping_pong(highs: Tensor) -> Tensor:
    """Distance of what a clip looks like on the way forth and on the way back; drift shows as a difference.

    highs (N, 2T-1, 3, H, W), the outputs for frames 1 .. T .. 1. Charbonnier's, as in TecoGAN-PyTorch.
    Source: TecoGAN, Chu et al. 2020 (arXiv:1811.09393), eq. 4.
    """
    half = highs.shape[1] // 2
    return charbonnier(highs[:, :half], highs[:, half + 1 :].flip(1))
