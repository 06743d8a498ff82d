"""LPIPS 0.1 on AlexNet features: how different two pictures look. Its weights come from files.

Source: Zhang et al. 2018 (arXiv:1801.03924). Files: `alexnet_features.safetensors` (torchvision's keys) and
`lpips_alex_lin.safetensors` (the authors' heads).
"""

from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

FEATURES_FILE: Final = "alexnet_features.safetensors"
HEADS_FILE: Final = "lpips_alex_lin.safetensors"
LAYERS: Final = (
    (0, 4, 2),
    (3, 1, 2),
    (6, 1, 1),
    (8, 1, 1),
    (10, 1, 1),
)  # index in `features`, stride, padding
POOLED_BEFORE: Final = (3, 6)
SHIFT: Final = (-0.030, -0.088, -0.188)  # ImageNet's mean and deviation for inputs in [-1, 1]
SPREAD: Final = (0.458, 0.448, 0.450)


class LpipsWeightsError(FileNotFoundError):
    """The folder does not hold both weight files."""


def has_lpips(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (FEATURES_FILE, HEADS_FILE))


def read_heads(tensors: dict[str, Tensor]) -> list[Tensor]:
    """The authors' file, for AlexNet as for VGG16 -> (1, C, 1, 1) for each of its five layers."""
    return [tensors[f"lin{level}.model.1.weight"].float() for level in range(5)]


class Lpips:
    """The metric with its weights; about 0.1 s for a frame of 704x544 on one core."""

    def __init__(self, folder: Path) -> None:
        for name in (FEATURES_FILE, HEADS_FILE):
            if not (folder / name).is_file():
                raise LpipsWeightsError(
                    f"LPIPS needs {folder / name}; give its folder as --weights, or --no-lpips"
                )
        self._features = {name: value.float() for name, value in load_file(folder / FEATURES_FILE).items()}
        self._heads = read_heads(load_file(folder / HEADS_FILE))

    @torch.no_grad()
    def features(self, frame: Tensor) -> list[Tensor]:
        """(H, W, 3) uint8 RGB -> unit-length features of every layer, for `distance`."""
        x = frame.permute(2, 0, 1)[None].float() / 127.5 - 1
        x = (x - torch.tensor(SHIFT).view(1, 3, 1, 1)) / torch.tensor(SPREAD).view(1, 3, 1, 1)
        found = []
        for index, stride, padding in LAYERS:
            if index in POOLED_BEFORE:
                x = F.max_pool2d(x, 3, stride=2)
            weight, bias = (
                self._features[f"features.{index}.weight"],
                self._features[f"features.{index}.bias"],
            )
            x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    @torch.no_grad()
    def distance(self, a: list[Tensor], b: list[Tensor]) -> float:
        """0 for equal pictures; about 0.1 to 0.5 for what super-resolution leaves."""
        levels = [F.conv2d((x - y) ** 2, head).mean() for x, y, head in zip(a, b, self._heads, strict=True)]
        return float(torch.stack(levels).sum().item())
