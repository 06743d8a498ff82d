"""How different two pictures look to a network that learned to name what photographs show.

`Vgg16` is a loss and `Lpips` a metric: one walk through a trunk of convolutions each, whose weights come from
files, lie on the device given and stay as they are. Not here: how much it weighs (config.py), which frames
and crops are scored (scores/evaluate.py).

Files: `vgg16_features.safetensors` and `alexnet_features.safetensors` under torchvision's keys;
`lpips_vgg_lin.safetensors` and `lpips_alex_lin.safetensors`, the heads of LPIPS 0.1's authors.
Sources: VGG16, Simonyan and Zisserman 2015 (arXiv:1409.1556); LPIPS, Zhang et al. 2018 (arXiv:1801.03924).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor

from model_core.pixels import to_float
from training.config import VggDistanceName

MEAN: Final = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in [0, 1]
DEVIATION: Final = (0.229, 0.224, 0.225)
UNIT_EPSILON: Final = 1e-8  # where every feature is zero, and a root has no slope
LAYERS: Final = 5  # that LPIPS compares, in either trunk


class PerceptualWeightsError(ValueError):
    """The weights are not there, or are not that network's."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """With its ReLU: `index` in torchvision's `features`; `shape` is (after, before, kernel, kernel)."""

    index: int
    shape: tuple[int, int, int, int]
    stride: int = 1
    padding: int = 1
    pooled_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """`pool` is the side of its max-pooling, whose stride is 2; `advice` is for who lacks its files."""

    features_file: str
    heads_file: str
    convolutions: tuple[Convolution, ...]
    pool: int
    advice: str


_VGG_INDICES: Final = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_VGG_WIDTHS: Final = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)  # before and after
VGG16: Final = Trunk(
    features_file="vgg16_features.safetensors",
    heads_file="lpips_vgg_lin.safetensors",
    convolutions=tuple(
        Convolution(index, (after, before, 3, 3), pooled_before=index in (5, 10, 17, 24))
        for index, (before, after) in zip(_VGG_INDICES, pairwise(_VGG_WIDTHS), strict=True)
    ),
    pool=2,
    advice="--perceptual (to `pack` as well, and it travels inside), or --vgg-weight 0",
)
ALEXNET: Final = Trunk(
    features_file="alexnet_features.safetensors",
    heads_file="lpips_alex_lin.safetensors",
    convolutions=(
        Convolution(0, (64, 3, 11, 11), stride=4, padding=2),
        Convolution(3, (192, 64, 5, 5), padding=2, pooled_before=True),
        Convolution(6, (384, 192, 3, 3), pooled_before=True),
        Convolution(8, (256, 384, 3, 3)),
        Convolution(10, (256, 256, 3, 3)),
    ),
    pool=3,
    advice="--weights, or --no-lpips",
)
VGG_TAKEN_AFTER: Final[dict[VggDistanceName, tuple[int, ...]]] = {
    "cosine": (7, 14, 21, 28),  # relu2_2, 3_3, 4_3, 5_3: TecoGAN's choice, on its sibling VGG19
    "lpips": (2, 7, 14, 21, 28),  # the last of each size
}
ALEXNET_TAKEN_AFTER: Final = (0, 3, 6, 8, 10)


class Vgg16:
    """The loss: VGG16's features of output and target, by the cosine of their angle or by LPIPS."""

    def __init__(
        self, folder: Path | None, device: torch.device, distance: VggDistanceName = "cosine"
    ) -> None:
        self._features = Features(VGG16, folder, device, VGG_TAKEN_AFTER[distance])
        self._heads = read_heads(VGG16, folder, device) if distance == "lpips" else None

    def distance(self, high: Tensor, target: Tensor) -> Tensor:
        """Both (N, 3, H, W) RGB in [0, 1]; differentiable in `high` alone."""
        with torch.no_grad():
            wanted = [each.float() for each in self._features(target)]
        found = [each.float() for each in self._features(high)]
        if self._heads is None:
            return cosine_features(found, wanted)
        return lpips_features(found, wanted, self._heads)


class Lpips:
    """The metric, version 0.1 on AlexNet; about 0.1 s for a frame of 704x544 on one core."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._features, self._device = Features(ALEXNET, folder, device, ALEXNET_TAKEN_AFTER), device
        self._heads = read_heads(ALEXNET, folder, device)

    @torch.no_grad()
    def features(self, frame: Tensor) -> list[Tensor]:
        """(H, W, 3) uint8 RGB -> unit-length features of every layer, for `distance`."""
        found = self._features(to_float(frame[None].to(self._device)))
        return [each / (each.square().sum(1, keepdim=True).sqrt() + 1e-10) for each in found]

    @torch.no_grad()
    def distance(self, a: list[Tensor], b: list[Tensor]) -> float:
        """0 for equal pictures; about 0.1 to 0.5 for what super-resolution leaves."""
        levels = [F.conv2d((x - y) ** 2, head).mean() for x, y, head in zip(a, b, self._heads, strict=True)]
        return float(torch.stack(levels).sum().item())


def has_lpips(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (ALEXNET.features_file, ALEXNET.heads_file))


def cosine_features(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Sum over layers of 1 - cos of the angle between feature vectors (N, C, h, w), place by place.

    Source: TecoGAN, table 1, the perceptual loss on VGG's features; its code sums four layers of weight 1.
    """
    distances = [1 - F.cosine_similarity(a, b, dim=1).mean() for a, b in zip(found, wanted, strict=True)]
    return torch.stack(distances).sum()


def lpips_features(found: Sequence[Tensor], wanted: Sequence[Tensor], heads: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the squared distance of unit-length feature vectors (N, C, h, w), place by place.

    heads   (1, C, 1, 1) for each layer: how much of each feature's distance people see
    Source: LPIPS, eq. 1; smooth where `found` is zero, which the metric need not be.
    """
    layers = zip(found, wanted, heads, strict=True)
    distances = [(head * (_unit(a) - _unit(b)).square()).sum(1).mean() for a, b, head in layers]
    return torch.stack(distances).sum()


def _unit(features: Tensor) -> Tensor:
    return features / torch.sqrt(features.square().sum(1, keepdim=True) + UNIT_EPSILON)


class Features:
    """A trunk up to the last layer that is asked for. No Module on purpose: no optimiser's, in no state."""

    def __init__(
        self, trunk: Trunk, folder: Path | None, device: torch.device, taken_after: tuple[int, ...]
    ) -> None:
        self._trunk, self._taken_after = trunk, taken_after
        self._weights = {
            name: value.float().to(device, memory_format=torch.channels_last)
            if value.dim() == 4
            else value.float().to(device)
            for name, value in used(trunk, _read(trunk, folder, trunk.features_file), taken_after).items()
        }
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self._deviation = torch.tensor(DEVIATION, device=device).view(1, 3, 1, 1)

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        """(N, 3, H, W) RGB in [0, 1] -> (N, C, h, w) for each layer taken, behind its ReLU."""
        x = ((pictures - self._mean) / self._deviation).contiguous(memory_format=torch.channels_last)
        taken: list[Tensor] = []
        for layer in _up_to(self._trunk, self._taken_after[-1]):
            if layer.pooled_before:
                x = F.max_pool2d(x, self._trunk.pool, stride=2)
            weight, bias = (self._weights[f"features.{layer.index}.{kind}"] for kind in ("weight", "bias"))
            x = F.relu(F.conv2d(x, weight, bias, stride=layer.stride, padding=layer.padding))
            if layer.index in self._taken_after:
                taken.append(x)
        return taken


def shapes(trunk: Trunk, taken_after: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Of every tensor that is used, by its key; of VGG16 29 MB of fp16."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in _up_to(trunk, taken_after[-1]):
        found[f"features.{layer.index}.weight"] = layer.shape
        found[f"features.{layer.index}.bias"] = layer.shape[:1]
    return found


def used(trunk: Trunk, tensors: dict[str, Tensor], taken_after: tuple[int, ...]) -> dict[str, Tensor]:
    """Those of them that are used. Raises PerceptualWeightsError where they are not the trunk's."""
    wanted = shapes(trunk, taken_after)
    wrong = [name for name, shape in wanted.items() if name not in tensors or tensors[name].shape != shape]
    if wrong:
        raise PerceptualWeightsError(f"{trunk.features_file} does not hold the network's: {wrong[:3]}")
    return {name: tensors[name] for name in wanted}


def read_heads(trunk: Trunk, folder: Path | None, device: torch.device) -> list[Tensor]:
    """LPIPS's weight of each feature: (1, C, 1, 1) for each of its five layers."""
    tensors = _read(trunk, folder, trunk.heads_file)
    return [tensors[f"lin{level}.model.1.weight"].float().to(device) for level in range(LAYERS)]


def cut_vgg(folder: Path) -> dict[str, bytes]:
    """VGG16's files with no more than what is used, in fp16, for a pack; LPIPS's heads where they lie there.

    Raises PerceptualWeightsError.
    """
    heads = folder / VGG16.heads_file
    kept = used(VGG16, _read(VGG16, folder, VGG16.features_file), VGG_TAKEN_AFTER["lpips"])
    features = save({name: value.half().contiguous() for name, value in kept.items()})
    files = {VGG16.features_file: features}
    return files | ({VGG16.heads_file: heads.read_bytes()} if heads.is_file() else {})


def _up_to(trunk: Trunk, last: int) -> list[Convolution]:
    return [layer for layer in trunk.convolutions if layer.index <= last]


def _read(trunk: Trunk, folder: Path | None, name: str) -> dict[str, Tensor]:
    if folder is None or not (folder / name).is_file():
        raise PerceptualWeightsError(
            f"{name} is needed, looked for in {folder}; give its folder as {trunk.advice}"
        )
    return load_file(folder / name)
