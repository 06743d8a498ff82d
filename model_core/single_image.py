"""Generators that see one picture and no other: the published networks for pictures, four times larger.

Modules bear the names that the published weights have (foreign.py reads those). Input (N, 3, h, w) RGB in
[0, 1], output (N, 3, 4h, 4w), not clamped. Not here: the recurrent G and bicubic (generator.py).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_core.config import SCALE, ModelConfig
from model_core.generator import ResidualBlock
from model_core.warping import bicubic4, bilinear4


class Srcnn(nn.Module):
    """SRCNN: bicubic enlarging, then three convolutions at full size, of 9, 5 and 5 pixels.

    Source: Dong et al. 2016 (arXiv:1501.00092), the 9-5-5 network, their best, on RGB as in section 4.5.
    Published with 64 features, of which the second layer keeps half. It has no skip: the last layer has to
    learn to pass the picture on.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        features = config.features
        self.extract = nn.Conv2d(3, features, 9, padding=4, padding_mode="replicate")
        self.map = nn.Conv2d(features, max(1, features // 2), 5, padding=2, padding_mode="replicate")
        self.reconstruct = nn.Conv2d(max(1, features // 2), 3, 5, padding=2, padding_mode="replicate")

    def forward(self, low: Tensor) -> Tensor:
        high: Tensor = self.reconstruct(F.relu(self.map(F.relu(self.extract(bicubic4(low))))))
        return high


class SrResNet(nn.Module):
    """SRResNet (Ledig et al. 2017) without batch normalisation, over a bilinear skip.

    Source: BasicSR, MSRResNet. Published with 64 features and 16 blocks.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        features = config.features
        self.conv_first = _conv(3, features)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(config.blocks)))
        self.upconv1 = _conv(features, features * 4)
        self.upconv2 = _conv(features, features * 4)
        self.conv_hr = _conv(features, features)
        self.conv_last = _conv(features, 3)

    def forward(self, low: Tensor) -> Tensor:
        x = self.body(_leaky(self.conv_first(low), 0.1))
        for conv in (self.upconv1, self.upconv2):
            x = _leaky(F.pixel_shuffle(conv(x), 2), 0.1)
        residual: Tensor = self.conv_last(_leaky(self.conv_hr(x), 0.1))
        return bilinear4(low) + residual


class DenseBlock(nn.Module):
    """Five convolutions, each over all that came before it; x + 0.2 change."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(features, growth)
        self.conv2 = _conv(features + growth, growth)
        self.conv3 = _conv(features + 2 * growth, growth)
        self.conv4 = _conv(features + 3 * growth, growth)
        self.conv5 = _conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat((seen, _leaky(conv(seen), 0.2)), dim=1)
        change: Tensor = self.conv5(seen)
        return x + 0.2 * change


class ResidualInResidual(nn.Module):
    """Three dense blocks; x + 0.2 change."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + 0.2 * change


class Rrdb(nn.Module):
    """G of ESRGAN (Wang et al. 2018, arXiv:1809.00219) and Real-ESRGAN: no skip from the input.

    Source: BasicSR, RRDBNet. Published with 64 features, growth 32 and 23 blocks (6 for drawings).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        features = config.features
        self.conv_first = _conv(3, features)
        self.body = nn.Sequential(
            *(ResidualInResidual(features, config.growth) for _ in range(config.blocks))
        )
        self.conv_body = _conv(features, features)
        self.conv_up1 = _conv(features, features)
        self.conv_up2 = _conv(features, features)
        self.conv_hr = _conv(features, features)
        self.conv_last = _conv(features, 3)

    def forward(self, low: Tensor) -> Tensor:
        x = self.conv_first(low)
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = _leaky(conv(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        high: Tensor = self.conv_last(_leaky(self.conv_hr(x), 0.2))
        return high


class Compact(nn.Module):
    """All convolutions at low resolution, one pixel shuffle, the nearest pixel as the skip.

    Source: Real-ESRGAN, SRVGGNetCompact with PReLU. Published with 64 features and 16 or 32 blocks, which
    here are the convolutions between the first and the last.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        features = config.features
        layers: list[nn.Module] = [_conv(3, features), nn.PReLU(features)]
        for _ in range(config.blocks):
            layers += [_conv(features, features), nn.PReLU(features)]
        self.body = nn.Sequential(*layers, _conv(features, 3 * SCALE**2))

    def forward(self, low: Tensor) -> Tensor:
        residual = F.pixel_shuffle(self.body(low), SCALE)
        return F.interpolate(low, scale_factor=SCALE, mode="nearest") + residual


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _leaky(x: Tensor, slope: float) -> Tensor:
    # In place, since nothing else reads a convolution's output, and at 4h x 4w a copy costs 4 kB a low pixel.
    return F.leaky_relu(x, slope, inplace=True)
