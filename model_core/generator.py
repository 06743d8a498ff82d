"""G, the networks that make the high-resolution frame. Called by recurrence.step, one whole input at a time.

A generator takes what `recurrence.generator_input` stacks, low frame first, and returns the finished
(N, 3, 4h, 4w); its skip connection is its own business, so that any of them can run in tiles.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from model_core.config import SCALE, ModelConfig
from model_core.warping import bicubic4, enlarge


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), without normalisation."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + change


class FrvsrGenerator(nn.Module):
    """G of FRVSR (Sajjadi et al. 2018, fig. 3, right) and TecoGAN (Chu et al. 2020, eq. 2).

    Input (N, 51, h, w): the low frame and the warped last output with its 4x4 blocks folded into 48
    channels. Output (N, 3, 4h, 4w): the low frame enlarged + residual, not clamped.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        features = config.features
        self.upsampling = config.upsampling
        self.conv_in = nn.Conv2d(3 + 3 * SCALE**2, features, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(config.blocks)))
        if config.head == "subpixel":
            self.head: nn.Module = nn.Sequential(
                nn.Conv2d(features, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE)
            )
        else:
            self.head = nn.Sequential(
                nn.ConvTranspose2d(features, features, 3, stride=2, padding=1, output_padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(features, features, 3, stride=2, padding=1, output_padding=1),
                nn.ReLU(),
                nn.Conv2d(features, 3, 3, padding=1),
            )

    def forward(self, inputs: Tensor) -> Tensor:
        residual: Tensor = self.head(self.blocks(F.relu(self.conv_in(inputs))))
        return enlarge(inputs[:, :3], self.upsampling) + residual


class Bicubic(nn.Module):
    """The baseline that needs no weights: bicubic interpolation, and says so."""

    def forward(self, inputs: Tensor) -> Tensor:
        return bicubic4(inputs)
