"""Model: the G and F that one ModelConfig describes, as one module with one state dict."""

import torch
from torch import Tensor, nn

from model_core.config import ModelConfig
from model_core.flow import FlowPyramid, FNet
from model_core.generator import Bicubic, FrvsrGenerator
from model_core.single_image import Compact, Rrdb, Srcnn, SrResNet


class Model(nn.Module):
    """`generator` makes frames; `flow_net` estimates motion and is None where F is not a network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.generator: nn.Module = _generator(config)
        self.flow_net: FNet | FlowPyramid | None = None
        if config.flow == "fnet":
            self.flow_net = FNet()
        elif config.flow == "pyramid":
            self.flow_net = FlowPyramid()

    def generate(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Run G on what `recurrence.generator_input` gives: high (N, 3, 4h, 4w), and the next hidden state
        (N, hidden, h, w), of no channels where the model has none."""
        made = self.generator(inputs)
        return made if isinstance(made, tuple) else (made, inputs[:, :0])


def build(config: ModelConfig) -> Model:
    """A model with fresh random weights, channels-last, in training mode."""
    # Channels-last keeps convolutions on the fast path of both CPU and CUDA.
    model: Model = Model(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _generator(config: ModelConfig) -> nn.Module:
    match config.generator:
        case "frvsr":
            return FrvsrGenerator(config)
        case "bicubic":
            return Bicubic()
        case "srcnn":
            return Srcnn(config)
        case "srresnet":
            return SrResNet(config)
        case "rrdb":
            return Rrdb(config)
        case "compact":
            return Compact(config)
