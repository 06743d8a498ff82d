"""What D is shown: triplets of frames lined up by their motion, or pictures alone. Its turn: step.py."""

from typing import Final

import torch
from torch import Tensor

from model_core.discriminator import triplet_stack
from training.config import CriticSightName
from training.losses.best_buddy import textured

BORDER_PART: Final = 8  # D sees the inner three quarters of a crop, as in TecoGAN's code


def shown(
    high: Tensor, low: Tensor, flow: Tensor | None, centres: list[int], sight: CriticSightName
) -> Tensor:
    """What D sees of those frames: `stacks`, or the pictures alone where there is no motion."""
    seen = torch.cat([high[:, t] for t in centres]) if flow is None else stacks(high, low, flow, centres)
    return seen if sight == "all" else only_textured(seen, torch.cat([low[:, t] for t in centres]))


def stacks(high: Tensor, low: Tensor, flow: Tensor, centres: list[int]) -> Tensor:
    """(N·len(centres), 27, H', W'): the triplets around those frames of every clip, as D sees them.

    high (N, P, 3, H, W), low (N, P or more, 3, h, w): forth, or forth and back
    flow (N, 2T-2, 2, h, w): of the T frames of the clip played forth and back
    """
    border = min(high.shape[-2:]) // BORDER_PART
    ahead = flow.flip(1)  # played back, frame t comes after t + 1
    return torch.cat(
        [
            triplet_stack(high[:, t - 1 : t + 2], low[:, t - 1 : t + 2], flow[:, t - 1], ahead[:, t], border)
            for t in centres
        ]
    )


def only_textured(seen: Tensor, low: Tensor) -> Tensor:
    """(M, C, H', W'), the inner part of what was made of `low` (M, 3, h, w), black where that is flat."""
    mask = textured(low)
    top, left = ((whole - inner) // 2 for whole, inner in zip(mask.shape[-2:], seen.shape[-2:], strict=True))
    return seen * mask[..., top : top + seen.shape[-2], left : left + seen.shape[-1]]
