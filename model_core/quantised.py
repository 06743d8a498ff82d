"""Int8: G whose convolutions multiply bytes, as processors do four times faster than floats.

Activations are rounded to 256 levels between the ends of a range that was measured on real frames
(`measured_ranges`), kernels to 255 levels a channel. The first and the last convolution get two bytes where
one is too coarse, since they read and make pixels: the first for its kernel, the last for its input. Without
`frvsr-lite` loses .045 dB, with them .014.

The rounding is PyTorch's own simulation, in floats: it tells what is lost, and runtimes with int8 units
(worker/engine/backends/graph.py) recognise it. A convolution that pads with anything but zeros stays float.
"""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_core.config import SCALE, ModelConfig
from model_core.model import Model

Range = tuple[float, float]
Ranges = Mapping[str, Range]  # what the input of each convolution of G spans, by the convolution's name

_LEVELS: Final = 255
_SIGNED_MAX: Final = 127


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where a byte's levels lie, by PyTorch's `scale` and `zero_point`."""

    scale: float
    zero_point: int

    @classmethod
    def over(cls, span: Range) -> "_Grid":
        """Zero is one of the levels, as it is what stands around a picture."""
        low, high = min(span[0], 0.0), max(span[1], 0.0)
        scale = (high - low) / _LEVELS or 1.0
        return cls(scale, round(-low / scale))

    def finer(self) -> "_Grid":
        """Between two neighbouring levels."""
        return _Grid.over((-self.scale / 2, self.scale / 2))

    def __call__(self, x: Tensor) -> Tensor:
        # From 0 also where all is signed: a signed byte of 255 levels OpenVINO takes for one of 256.
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, 0, _LEVELS)


class _Kernel(nn.Module):
    """A kernel (out, in, k, k) of bytes, each output channel at its own scale."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = weight.abs().amax(dim=(1, 2, 3)).clamp_min(1e-12) / _SIGNED_MAX
        self.weight, self.scale = nn.Buffer(weight.clone()), nn.Buffer(scale)
        self.zero_point = nn.Buffer(torch.zeros(len(weight), dtype=torch.int32))

    def forward(self) -> Tensor:
        return torch.fake_quantize_per_channel_affine(
            self.weight, self.scale, self.zero_point, 0, -_SIGNED_MAX, _SIGNED_MAX
        )


class QuantisedConv(nn.Module):
    """A convolution by bytes.

    groups        of input channels that share a range: how many, and the range
    fine_kernel   a second kernel for what the first leaves
    fine_input    a second byte for what the first leaves
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        groups: Sequence[tuple[int, Range]],
        *,
        fine_kernel: bool = False,
        fine_input: bool = False,
    ) -> None:
        super().__init__()
        self._sizes = [size for size, _ in groups]
        self._grids = [_Grid.over(span) for _, span in groups]
        self._fine_input = fine_input
        self._stride, self._padding, self._bias = conv.stride, conv.padding, conv.bias
        self.kernels = nn.ModuleList()
        for weight in torch.split(conv.weight.detach(), self._sizes, dim=1):
            coarse = _Kernel(weight)
            kernels = [coarse, _Kernel(weight - coarse())] if fine_kernel else [coarse]
            self.kernels.append(nn.ModuleList(kernels))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | None = None
        # A split into one part is a copy to OpenVINO, and keeps it from rounding as it convolves.
        parts = torch.split(x, self._sizes, dim=1) if len(self._sizes) > 1 else (x,)
        for part, grid, kernels in zip(parts, self._grids, self.kernels, strict=True):
            assert isinstance(kernels, nn.ModuleList)
            for level, kernel in itertools.product(self._levels(part, grid), kernels):
                product = F.conv2d(level, kernel(), None, self._stride, self._padding)
                total = product if total is None else total + product
        assert total is not None, "a convolution has inputs"
        return total if self._bias is None else total + self._bias.view(1, -1, 1, 1)

    def _levels(self, x: Tensor, grid: _Grid) -> list[Tensor]:
        coarse = grid(x)
        return [coarse, grid.finer()(x - coarse)] if self._fine_input else [coarse]


def quantised(model: Model, ranges: Ranges) -> Model:
    """A copy whose convolutions are by bytes where `ranges` names them."""
    made = copy.deepcopy(model)
    names = list(_convolutions(model))
    for name in names:
        if name not in ranges:
            continue
        parent, _, leaf = name.rpartition(".")
        conv = model.generator.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        is_first = name == names[0]
        groups = _input_groups(model.config) if is_first else [(conv.in_channels, ranges[name])]
        rounded = QuantisedConv(conv, groups, fine_kernel=is_first, fine_input=name == names[-1])
        setattr(made.generator.get_submodule(parent), leaf, rounded)
    return made.eval()


def measured_ranges(model: Model, run: Callable[[Model], object]) -> Ranges:
    """The least and the largest input of each convolution while `run` lets the model work."""
    found: dict[str, Range] = {}

    def note(name: str, x: Tensor) -> None:
        low, high = (each.item() for each in x.aminmax())
        before = found.get(name, (0.0, 0.0))
        found[name] = (min(before[0], low), max(before[1], high))

    hooks = [
        conv.register_forward_pre_hook(lambda _, inputs, name=name: note(name, inputs[0]))
        for name, conv in _convolutions(model).items()
    ]
    try:
        run(model)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _convolutions(model: Model) -> dict[str, nn.Conv2d]:
    return {
        name: module
        for name, module in model.generator.named_modules()
        if isinstance(module, nn.Conv2d) and module.padding_mode == "zeros"
    }


def _input_groups(config: ModelConfig) -> list[tuple[int, Range]]:
    """Of what `recurrence.generator_input` stacks: pixels, and what a tanh made."""
    if not config.recurrent:
        return [(3, (0.0, 1.0))]
    pixels = (3 * config.window + 3 * SCALE**2, (0.0, 1.0))
    return [pixels, (config.hidden, (-1.0, 1.0))] if config.hidden else [pixels]
