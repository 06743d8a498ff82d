"""Packing: finished pictures as the samples that video encoders take, half as many bytes, on the device.

Equal to what libswscale makes of the same picture (media/colour.py: to_yuv) but for its rounding, a level.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.yuv import Yuv420

# Chroma by swscale's bicubic (a = -0.6), stretched over twice its width since there is half of it: on a luma
# sample across, between two rows down. What lies outside repeats the border.
_ACROSS: Final = (-0.0375, 0.0, 0.2875, 0.5, 0.2875, 0.0, -0.0375)
_DOWN: Final = (-0.0140625, -0.0421875, 0.1203125, 0.4359375, 0.4359375, 0.1203125, -0.0421875, -0.0140625)
_LAST: Final = 256.0  # swscale cuts off what overshoots more, between the two filters


class Packer:
    """For one device, where its constants lie: a recorded step can bring none from the host."""

    def __init__(self, how: Yuv420, device: torch.device) -> None:
        weights = torch.tensor(how.weights)
        self._luma = weights[:1, :, None, None].to(device)
        self._across = (weights[1:, :, None, None] * torch.tensor(_ACROSS)).to(device)
        self._down = torch.tensor(_DOWN)[:, None].repeat(2, 1, 1, 1).to(device)
        self._offsets = torch.tensor(how.offsets, device=device)

    def __call__(self, levels: Tensor) -> Tensor:
        """(N, 3, H, W) whole levels, 0 to 255, still float -> (N, 3H/2, W) uint8.

        Of each picture H rows of Y, then all of Cb and all of Cr, row after row of W/2. Sides are even.
        """
        count, _, height, width = levels.shape
        luma = F.conv2d(levels, self._luma, self._offsets[:1])
        beside = F.pad(levels, (3, 2, 0, 0), mode="replicate")
        chroma = F.conv2d(beside, self._across, self._offsets[1:], stride=(1, 2)).clamp(max=_LAST)
        below = F.pad(chroma, (0, 0, 3, 3), mode="replicate")
        chroma = F.conv2d(below, self._down, stride=(2, 1), groups=2)
        samples = torch.cat((luma.flatten(1), chroma.flatten(1)), dim=1)
        return samples.clamp(0, 255).round().byte().view(count, height * 3 // 2, width)
