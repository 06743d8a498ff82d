"""D_s,t, the spatio-temporal discriminator of TecoGAN, and D for pictures. Both exist in training only.

Source: Chu et al. 2020 (arXiv:1811.09393), section 3.2 and fig. 4: D sees nine pictures at once, three
frames, three motion-compensated frames and three upsampled inputs, so it judges detail and motion together.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from model_core.warping import bicubic4, upsample_flow, warp

CHANNELS = 3 * 3 * 3  # three triplets of RGB
# Under spectral normalisation a layer passes on about half of its input's spread; undone, since after five
# such layers nothing would be left to tell pictures apart by, nor a gradient to learn it from.
GAIN = 2.0
PICTURE_CHANNELS = 3  # of a D for pictures, which has no motion to judge


def triplet_stack(high: Tensor, low: Tensor, flow_back: Tensor, flow_ahead: Tensor, border: int) -> Tensor:
    """Three consecutive frames as D sees them.

    high        (N, 3, 3, H, W): frames t-1, t, t+1, real or generated, RGB in [0, 1]
    low         (N, 3, 3, h, w): the inputs they were made from
    flow_back   (N, 2, h, w): where a pixel of frame t was in frame t-1, low-resolution pixels
    flow_ahead  (N, 2, h, w): where it will be in frame t+1
    border      high-resolution pixels cut from each side: a warp invents what it takes from outside
    Returns     (N, 27, H - 2 border, W - 2 border): inputs enlarged, frames, frames moved onto frame t
    """
    before = warp(high[:, 0], upsample_flow(flow_back))
    after = warp(high[:, 2], upsample_flow(flow_ahead))
    moved = torch.cat((before, high[:, 1], after), dim=1)
    enlarged = bicubic4(low.flatten(1, 2))
    stack = torch.cat((enlarged, high.flatten(1, 2), moved), dim=1)
    return stack[..., border : stack.shape[-2] - border, border : stack.shape[-1] - border]


class Discriminator(nn.Module):
    """Four strided stages under spectral normalisation, then one logit for each patch.

    The paper ends in a dense layer over a fixed crop and normalises by batch; logits by patch take any
    crop, and spectral normalisation keeps D's slope bounded at the small batches of a CPU.
    """

    def __init__(self, features: int = 64, *, channels: int = CHANNELS) -> None:
        super().__init__()
        widths = (features, features, features, 2 * features, 4 * features)
        self.conv_in = spectral_norm(nn.Conv2d(channels, widths[0], 3, padding=1))
        self.stages = nn.ModuleList(
            spectral_norm(nn.Conv2d(i, o, 4, stride=2, padding=1)) for i, o in pairwise(widths)
        )
        self.head = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, stack: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, C, H, W) -> logits (N, 1, H/16, W/16), positive for real, and the features of each stage."""
        x = GAIN * F.leaky_relu(self.conv_in(2 * stack - 1), 0.2)
        features: list[Tensor] = []
        for stage in self.stages:
            x = GAIN * F.leaky_relu(stage(x), 0.2)
            features.append(x)
        return self.head(x).float(), features
