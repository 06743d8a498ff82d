"""The two doors between uint8 pictures and float tensors. Nothing else converts.

A level is 1/255. Inside, tensors are (N, 3, H, W) float RGB in [0, 1]; outside, (N, H, W, 3) uint8.
"""

from torch import Tensor


def to_float(frames: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32 in [0, 1], channels-last in memory."""
    return frames.permute(0, 3, 1, 2).float().div_(255)


def to_uint8(tensor: Tensor) -> Tensor:
    """(N, 3, H, W) float in any range -> (N, H, W, 3) uint8: clamped and rounded to the nearest."""
    return to_levels(tensor).permute(0, 2, 3, 1).byte()


def to_levels(tensor: Tensor) -> Tensor:
    """The same values as whole levels, 0 to 255, still float and in the same layout."""
    return tensor.float().clamp(0, 1).mul_(255).round_()
