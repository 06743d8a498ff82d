"""The losses of Best-Buddy GAN as pure functions: best-buddy supervision, the mask of textured regions and
back-projection.

Source: Li et al. 2021, "Best-Buddy GANs for Highly Detailed Image Super-Resolution" (arXiv:2103.15295),
section 3; numbers as in the authors' code (Simple-SR: utils/loss.py, utils/region_seperator.py and
exps/BebyGAN/config.py). Not here: weights (config.py), the adversary that the mask is for (run/critic.py).
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from model_core.warping import bicubic4

PATCH: Final = 3  # pixels on a side, and from one patch to the next
SHRUNKEN: Final = (2, 4)  # the pyramid of candidates: the target itself, and that many times smaller
WINDOW: Final = 11  # high-resolution pixels on a side
TEXTURED_STD: Final = 0.025  # of luma in [0, 1]; six levels of 255
LUMA: Final = (0.2989, 0.587, 0.114)


def best_buddy(high: Tensor, target: Tensor) -> Tensor:
    """Mean L1 from each 3x3 patch p of `high` to its best buddy among all patches of the target's pyramid.

    The buddy is the g with the least α|g - gt|² + β|g - p|², gt being the true patch where p is; α = β = 1.
    So p may become another patch of the same picture, as long as that one resembles the truth as well.
    high, target (N, 3, H, W); where sides are no multiples of 3, the last rows and columns don't count.
    Source: the paper's "best-buddy loss". The smaller pictures are antialiased, unlike in the authors' code:
    without it they alias, and nothing in them is a patch of a photograph.
    """
    estimated = cut_patches(high)  # (N, P, 27)
    with torch.no_grad():
        # |g - gt|² + |g - p|² is twice |g - (gt + p) / 2|², and a term without g: one search serves both.
        aims = (cut_patches(target) + estimated) / 2
        levels = [target, *(_shrink(target, times) for times in SHRUNKEN)]
        candidates = torch.cat([cut_patches(level) for level in levels], dim=1)  # (N, C, 27)
        # One picture at a time: at crops of 128 its distances take 16 MB, those of a batch over a gigabyte.
        buddies = torch.stack([c[nearest(a, c)] for a, c in zip(aims, candidates, strict=True)])
    return (estimated - buddies).abs().mean()


def nearest(points: Tensor, candidates: Tensor) -> Tensor:
    """(P, K) and (C, K) -> (P,) index of the candidate at the least Euclidean distance."""
    with torch.autocast(points.device.type, enabled=False):  # bf16 can't tell neighbouring levels apart
        return torch.addmm(candidates.square().sum(1), points, candidates.T, alpha=-2).argmin(1)


def cut_patches(picture: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, P, 27), side by side without overlap; fp32."""
    return F.unfold(picture.float(), PATCH, stride=PATCH).transpose(1, 2)


def textured(low: Tensor) -> Tensor:
    """1 where the enlarged input has detail around a pixel, 0 where it is flat: (N, 3, h, w) -> (N, 1, H, W).

    Detail is a standard deviation of luma over 11x11 pixels of at least 0.025. D must not look at the rest,
    for what it asks for there can only be invented.
    Source: the paper's "region-aware adversarial learning"; on the enlarged input as in the authors' code, so
    that real and generated pictures are cut alike.
    """
    weights = torch.tensor(LUMA, device=low.device).view(1, 3, 1, 1)
    luma = (bicubic4(low) * weights).sum(1, keepdim=True)
    padded = F.pad(luma, [WINDOW // 2] * 4, mode="reflect")
    mean = F.avg_pool2d(padded, WINDOW, stride=1)
    square = F.avg_pool2d(padded**2, WINDOW, stride=1)
    variance = (square - mean**2) * (WINDOW**2 / (WINDOW**2 - 1))
    return (variance >= TEXTURED_STD**2).float()


def back_projection(high: Tensor, low: Tensor, degrade: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean L1 between the input and `high` made small again: invented detail must not change what was seen.

    high (..., H, W), low (..., H/4, W/4); `degrade` makes the one into the other's size, differentiably.
    Source: the paper's "back-projection constraint".
    """
    return (degrade(high) - low).abs().mean()


def _shrink(picture: Tensor, times: int) -> Tensor:
    height, width = picture.shape[-2:]
    size = height // times, width // times
    return F.interpolate(picture.float(), size=size, mode="bicubic", antialias=True, align_corners=False)
