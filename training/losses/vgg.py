"""VGG16's features, for the perceptual loss. Its weights come from files and stay as they are.

Source: Simonyan and Zisserman 2015 (arXiv:1409.1556). Files: `vgg16_features.safetensors` under torchvision's
keys; for LPIPS (Zhang et al. 2018, arXiv:1801.03924) `lpips_vgg_lin.safetensors` too, its authors' heads.
"""

from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor

from training.config import VggDistanceName
from training.losses.lpips import read_heads

FILE: Final = "vgg16_features.safetensors"
HEADS_FILE: Final = "lpips_vgg_lin.safetensors"
CONVOLUTIONS: Final = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # index in `features`
WIDTHS: Final = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)  # before each, and after
POOLED_BEFORE: Final = (5, 10, 17, 24)
TAKEN_AFTER: Final[dict[VggDistanceName, tuple[int, ...]]] = {
    "cosine": (7, 14, 21),  # relu2_2, relu3_3, relu4_3: TecoGAN's choice, on its sibling VGG19
    "lpips": (2, 7, 14, 21, 28),  # the last of each size
}
MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)


class PerceptualWeightsError(ValueError):
    """VGG16's weights are not there, or are not its own."""


def shapes(distance: VggDistanceName) -> dict[str, tuple[int, ...]]:
    """Of every tensor that is used, by torchvision's key: 15 MB of fp16, for LPIPS 29 MB."""
    found: dict[str, tuple[int, ...]] = {}
    for index, (before, after) in zip(CONVOLUTIONS, pairwise(WIDTHS), strict=True):
        if index <= TAKEN_AFTER[distance][-1]:
            found |= {f"features.{index}.weight": (after, before, 3, 3), f"features.{index}.bias": (after,)}
    return found


def needed(tensors: dict[str, Tensor], distance: VggDistanceName) -> dict[str, Tensor]:
    """Those of them that are used. Raises PerceptualWeightsError where they are not VGG16's."""
    wanted = shapes(distance)
    if wrong := [
        name for name, shape in wanted.items() if name not in tensors or tensors[name].shape != shape
    ]:
        raise PerceptualWeightsError(f"{FILE} does not hold VGG16's features: {wrong[:3]}")
    return {name: tensors[name] for name in wanted}


def cut(folder: Path) -> dict[str, bytes]:
    """The files with no more than what is used, in fp16: what a pack takes along. Raises as Vgg16 does.

    LPIPS's part of them only where its heads lie in the folder.
    """
    heads = folder / HEADS_FILE
    distance: VggDistanceName = "lpips" if heads.is_file() else "cosine"
    kept = needed(_read(folder, FILE), distance)
    features = save({name: value.half().contiguous() for name, value in kept.items()})
    return {FILE: features} | ({HEADS_FILE: heads.read_bytes()} if distance == "lpips" else {})


def _read(folder: Path | None, name: str) -> dict[str, Tensor]:
    if folder is None or not (folder / name).is_file():
        raise PerceptualWeightsError(
            f"the perceptual loss needs {name}, looked for in {folder}; give its folder as --perceptual (to "
            "`pack` as well, and it travels inside), or --vgg-weight 0"
        )
    return load_file(folder / name)


class Vgg16:
    """Not a Module on purpose: it belongs to no optimiser and no state.

    heads   of LPIPS, one (1, C, 1, 1) for each layer of `features`; None where they are not asked for
    """

    def __init__(
        self, folder: Path | None, device: torch.device, distance: VggDistanceName = "cosine"
    ) -> None:
        self._weights = {
            name: value.float().to(device, memory_format=torch.channels_last)
            if value.dim() == 4
            else value.float().to(device)
            for name, value in needed(_read(folder, FILE), distance).items()
        }
        self._taken_after = TAKEN_AFTER[distance]
        self.heads: list[Tensor] | None = None
        if distance == "lpips":
            self.heads = [head.to(device) for head in read_heads(_read(folder, HEADS_FILE))]
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self._deviation = torch.tensor(DEVIATION, device=device).view(1, 3, 1, 1)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """(N, 3, H, W) RGB in [0, 1] -> layers of (N, C, h, w): at 1/2, 1/4 and 1/8 of the size by cosine, at
        1 to 1/16 for LPIPS.
        """
        x = ((pictures - self._mean) / self._deviation).contiguous(memory_format=torch.channels_last)
        taken: list[Tensor] = []
        for index in CONVOLUTIONS[: CONVOLUTIONS.index(self._taken_after[-1]) + 1]:
            if index in POOLED_BEFORE:
                x = F.max_pool2d(x, 2)
            name = f"features.{index}"
            x = F.relu(F.conv2d(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], padding=1))
            if index in self._taken_after:
                taken.append(x.float())
        return taken
