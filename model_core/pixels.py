"""The two doors between pictures in whole numbers and float tensors. Nothing else converts.

A level is 1/255, or 1/65535 of deep pictures. Inside, tensors are (N, 3, H, W) float RGB in [0, 1]; outside,
(N, H, W, 3) uint8 or uint16.
"""

from typing import Final

import torch
from torch import Tensor

LAST: Final = {torch.uint8: 255, torch.uint16: 65_535}  # the level that is 1.0


def to_float(frames: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 or uint16 RGB -> (N, 3, H, W) float32 in [0, 1], channels-last in memory."""
    return frames.permute(0, 3, 1, 2).float().div_(LAST[frames.dtype])


def to_uint8(tensor: Tensor) -> Tensor:
    """(N, 3, H, W) float in any range -> (N, H, W, 3) uint8: clamped and rounded to the nearest."""
    return to_levels(tensor).permute(0, 2, 3, 1).byte()


def to_uint16(tensor: Tensor) -> Tensor:
    """`to_uint8` for deep pictures."""
    return to_levels(tensor, LAST[torch.uint16]).permute(0, 2, 3, 1).to(torch.uint16)


def to_levels(tensor: Tensor, last: int = LAST[torch.uint8]) -> Tensor:
    """The same values as whole levels, 0 to `last`, still float and in the same layout."""
    return tensor.float().clamp(0, 1).mul_(last).round_()
