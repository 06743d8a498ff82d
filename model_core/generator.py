"""G, the networks that make the high-resolution frame. Called by recurrence.step, one whole input at a time.

A generator takes what `recurrence.generator_input` stacks and returns the finished (N, 3, 4h, 4w); its skip
connection is its own business, so that any of them can run in tiles.
"""

import torch
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

    Input (N, 3 window + 48 + hidden, h, w): low frames, the last of a window of 3 still to come; the warped
    last output with its 4x4 blocks folded into 48 channels; the warped hidden state.
    Output: the low frame enlarged + residual, (N, 3, 4h, 4w), not clamped; and the next hidden state,
    (N, hidden, h, w) within [-1, 1]. Both papers have a window of 1 and hidden 0; a hidden state without
    alignment by the flow: RLSP, Fuoli et al. 2019 (arXiv:1909.08080).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        features = config.features
        self.upsampling = config.upsampling
        self._hidden = config.hidden
        self._centre = 3 * (config.window // 2)  # the first channel of the frame that is enlarged
        inputs = 3 * config.window + 3 * SCALE**2 + config.hidden
        self.conv_in = nn.Conv2d(inputs, features, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(config.blocks)))
        self._subpixel = config.head == "subpixel"
        if self._subpixel:
            self.head: nn.Module = nn.Sequential(
                nn.Conv2d(features, 3 * SCALE**2 + config.hidden, 3, padding=1)
            )
        else:
            self.head = nn.Sequential(
                nn.ConvTranspose2d(features, features, 3, stride=2, padding=1, output_padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(features, features, 3, stride=2, padding=1, output_padding=1),
                nn.ReLU(),
                nn.Conv2d(features, 3, 3, padding=1),
            )

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        residual, hidden = self.residual(inputs)
        return self.skip(inputs) + residual, hidden

    def skip(self, inputs: Tensor) -> Tensor:
        """The frame enlarged, (N, 3, 4h, 4w)."""
        # Nothing is learned of data: without its gradient a step of training costs a twentieth less.
        return enlarge(inputs[:, self._centre : self._centre + 3].detach(), self.upsampling)

    def residual(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The network without its skip: (N, 3, 4h, 4w) to add to the enlarged frame, and the hidden state."""
        made: Tensor = self.head(self.blocks(F.relu(self.conv_in(inputs))))
        if not self._subpixel:
            return made, inputs[:, :0]
        return F.pixel_shuffle(made[:, : 3 * SCALE**2], SCALE), torch.tanh(made[:, 3 * SCALE**2 :])


class Bicubic(nn.Module):
    """The baseline that needs no weights: bicubic interpolation, and says so."""

    def forward(self, inputs: Tensor) -> Tensor:
        return bicubic4(inputs.contiguous())  # the same bits as channels-last in half the time
