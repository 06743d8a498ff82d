"""F, the networks that estimate motion between two low-resolution frames.

All give the backward flow (N, 2, h, w): where a pixel of `frame` was in `previous`, in low-resolution
pixels, channel 0 being x. Sides that don't suit a network are padded inside and cropped outside.
The third kind of F, OpenCV's DIS, is no network: dis.py.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_core.warping import pad_to_multiple, warp

FLOW_MAX: Final = 24.0  # low-resolution pixels; the bound of the published F


def _conv_pair(inputs: int, outputs: int) -> list[nn.Module]:
    """Two 3x3 convolutions, each with LeakyReLU 0.2."""
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2),
    ]


class FNet(nn.Module):
    """The encoder-decoder of FRVSR (Sajjadi et al. 2018, fig. 3, left) as TecoGAN uses it; |flow| < 24.

    Three times halved by max pooling, three times doubled bilinearly; 1.7 million weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            nn.Sequential(*_conv_pair(i, o), nn.MaxPool2d(2)) for i, o in ((6, 32), (32, 64), (64, 128))
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(*_conv_pair(i, o)) for i, o in ((128, 256), (256, 128), (128, 64))
        )
        self.head = nn.Sequential(
            nn.Conv2d(64, 32, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(32, 2, 3, padding=1)
        )

    def forward(self, previous: Tensor, frame: Tensor) -> Tensor:
        """(N, 3, h, w) twice, RGB in [0, 1] -> (N, 2, h, w)."""
        height, width = frame.shape[-2:]
        x = pad_to_multiple(torch.cat((frame, previous), dim=1), 8)  # (N, 6, h', w')
        for stage in self.encoder:
            x = stage(x)
        for stage in self.decoder:
            x = F.interpolate(stage(x), scale_factor=2, mode="bilinear", align_corners=False)
        return (torch.tanh(self.head(x)) * FLOW_MAX)[..., :height, :width]


class FlowPyramid(nn.Module):
    """Coarse to fine with a local cost volume at each of three levels, in the manner of PWC-Net.

    Source: Sun et al. 2018 (arXiv:1709.02371), reduced to 220 thousand weights: features of 16, 24 and
    32 channels, correlation within 3 pixels, a decoder of 48 channels a level that gives a residual flow.
    """

    WIDTHS: Final = (16, 24, 32)
    RADIUS: Final = 3

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *self.WIDTHS[:-1])
        self.features = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(i, o, 3, stride=1 if level == 0 else 2, padding=1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(o, o, 3, padding=1),
            )
            for level, (i, o) in enumerate(zip(inputs, self.WIDTHS, strict=True))
        )
        costs = (2 * self.RADIUS + 1) ** 2
        self.decoders = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(costs + width + 2, 48, 3, padding=1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(48, 48, 3, padding=1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(48, 24, 3, padding=1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(24, 2, 3, padding=1),
            )
            for width in self.WIDTHS
        )

    def forward(self, previous: Tensor, frame: Tensor) -> Tensor:
        """(N, 3, h, w) twice, RGB in [0, 1] -> (N, 2, h, w)."""
        height, width = frame.shape[-2:]
        flows = self.levels(pad_to_multiple(previous, 4), pad_to_multiple(frame, 4))
        return flows[0][..., :height, :width]

    def levels(self, previous: Tensor, frame: Tensor) -> list[Tensor]:
        """The flow at every level, finest first, each in pixels of its own level; sides must divide by 4."""
        behind, here = self._pyramid(previous), self._pyramid(frame)
        flow = torch.zeros_like(here[-1][:, :2])
        flows: list[Tensor] = []
        for level in reversed(range(len(self.WIDTHS))):
            if flows:
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
            cost = self._cost_volume(here[level], warp(behind[level], flow))
            flow = flow + self.decoders[level](torch.cat((cost, here[level], flow), dim=1))
            flows.insert(0, flow)
        return flows

    def _pyramid(self, image: Tensor) -> list[Tensor]:
        """Features of every level, finest first, of unit length over the channels."""
        x, found = image - 0.5, []
        for level, stage in enumerate(self.features):
            x = stage(x if level == 0 else F.leaky_relu(x, 0.1))
            found.append(F.normalize(x.float(), dim=1))
        return found

    def _cost_volume(self, here: Tensor, behind: Tensor) -> Tensor:
        """(N, C, h, w) twice -> (N, 49, h, w): correlation with every neighbour within RADIUS, row by row."""
        height, width = here.shape[-2:]
        around = F.pad(behind, (self.RADIUS,) * 4)
        side = 2 * self.RADIUS + 1
        return torch.stack(
            [
                (here * around[..., dy : dy + height, dx : dx + width]).sum(1)
                for dy in range(side)
                for dx in range(side)
            ],
            dim=1,
        )
