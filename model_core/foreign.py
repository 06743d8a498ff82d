"""Published weights of other projects, read into our networks: one file in, a Model out.

    TecoGAN-PyTorch         FRNet: TecoGAN and FRVSR, for BD and for BI degradation
    BasicSR, Real-ESRGAN    RRDBNet, also as ESRGAN named it twice before; SRVGGNetCompact; SRResNet

Reading is strict: every name and shape must be that of the published definition, for four times RGB. Pickles
are read with `weights_only`, so nothing in a file runs. Not here: publishing (worker/models/importing.py).
Start reading at `read`.
"""

import pickle
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model_core.config import SCALE, ModelConfig, UpsamplingName
from model_core.model import Model, build
from model_core.warping import corner4

Tensors = Mapping[str, Tensor]

LISTED_MAX: Final = 4  # names in a message; the file may be of another kind altogether


class ForeignError(Exception):
    """The file holds no network that we read; the message says what is missing, unknown or misshapen."""


@dataclass(frozen=True, slots=True)
class Foreign:
    family: str  # for people, such as "RRDBNet"
    model: Model  # evaluation mode, fp32, frozen


def read(path: Path) -> Foreign:
    """Raises ForeignError for a file of another kind, OSError for one that can't be read."""
    tensors = _tensors(path)
    family = next((each for each in _FAMILIES if each.telltale in tensors), None)
    if family is None:
        known = ", ".join(dict.fromkeys(each.name for each in _FAMILIES))
        raise ForeignError(f"the weights of none of {known}; they begin with {_listed(tensors)}")
    try:
        config = family.config(tensors)
    except ValueError as error:
        raise ForeignError(f"{family.name}: {error}") from error
    model = build(config).eval().requires_grad_(False)
    ours = model.state_dict()
    theirs = {name: family.published_name(name, config) for name in ours}
    _check(family, tensors, {theirs[name]: value.shape for name, value in ours.items()})
    state = {name: tensors[theirs[name]].float() for name in ours}
    if config.generator == "frvsr":
        state["generator.conv_in.weight"] = _colours_first(state["generator.conv_in.weight"])
    model.load_state_dict(state)
    return Foreign(family.name, model)


# What a file holds


def _tensors(path: Path) -> Tensors:
    """The tensors by name, out of what BasicSR wraps around them."""
    content = _content(path)
    for wrapping in ("params_ema", "params"):  # the average first: it is what was scored
        if isinstance(content, dict) and isinstance(content.get(wrapping), dict):
            content = content[wrapping]
    if not isinstance(content, dict) or not content:
        raise ForeignError(f"not a file of weights: it holds {type(content).__name__}")
    if other := [name for name, value in content.items() if not isinstance(value, Tensor)]:
        raise ForeignError(f"not a file of weights: no tensors under {_listed(other)}")
    return content


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except (
        pickle.UnpicklingError,
        SafetensorError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise ForeignError(f"not a file of weights: {reason}") from error


def _check(family: "_Family", tensors: Tensors, expected: Mapping[str, torch.Size]) -> None:
    misshapen = [
        f"{name} is {tuple(tensors[name].shape)} and not {tuple(shape)}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]
    problems = {
        "missing": expected.keys() - tensors.keys(),
        "unknown": tensors.keys() - expected.keys() - set(family.extras),
        "of another shape": misshapen,
    }
    if any(problems.values()):
        found = "; ".join(f"{what}: {_listed(names)}" for what, names in problems.items() if names)
        raise ForeignError(f"no {family.name} that enlarges RGB {SCALE} times: {found}")
    if bad := [name for name in expected if not tensors[name].isfinite().all()]:
        raise ForeignError(f"weights that are not finite: {_listed(bad)}")


def _listed(names: Collection[object]) -> str:
    first = sorted(map(str, names))[:LISTED_MAX]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")


# What each family calls what we have


@dataclass(frozen=True, slots=True)
class _Family:
    name: str
    telltale: str  # a name that no other family has
    config: Callable[[Tensors], ModelConfig]
    renames: tuple[
        tuple[str, str], ...
    ] = ()  # (pattern, replacement) from our names to theirs, in this order
    extras: tuple[str, ...] = ()  # names that a file may have beside the weights

    def published_name(self, ours: str, config: ModelConfig) -> str:
        theirs = ours.removeprefix("generator.")
        for pattern, replacement in self.renames:
            theirs = re.sub(pattern, replacement.replace("BLOCKS", str(config.blocks)), theirs)
        return theirs


_KERNELS: Final = ("upsample_func.kernels", "srnet.upsample_func.kernels")


def _frnet(tensors: Tensors) -> ModelConfig:
    # FRNet has these buffers if it was made for BD, and then strict loading there demands them; for BI it
    # enlarges bilinearly and has none.
    kernels = [tensors[name] for name in _KERNELS if name in tensors]
    upsampling: UpsamplingName = "corner" if kernels else "bilinear"
    taps = corner4(torch.eye(4).view(4, 1, 1, 4))[:, 0, 0, 4:8].T  # weights of four pixels at each quarter
    if any(each.shape != taps.shape or not torch.allclose(each, taps, atol=1e-6) for each in kernels):
        raise ForeignError(f"FRNet: {_KERNELS[0]} is not bicubic interpolation with a = -0.75")
    return ModelConfig(
        generator="frvsr",
        flow="fnet",
        features=_outputs(tensors, "srnet.conv_in.0.weight"),
        blocks=_count(tensors, r"srnet\.resblocks\.(\d+)\."),
        head="transposed",
        upsampling=upsampling,
    )


def _colours_first(conv_in: Tensor) -> Tensor:
    """From weights for a frame folded into (row, column, colour), FRNet's, to ours: (colour, row, column)."""
    low, folded = conv_in[:, :3], conv_in[:, 3:]
    folded = folded.reshape(-1, SCALE, SCALE, 3, *folded.shape[2:]).permute(0, 3, 1, 2, 4, 5)
    return torch.cat((low, folded.flatten(1, 3)), dim=1)


def _rrdb(first: str, block: str, growing: str) -> Callable[[Tensors], ModelConfig]:
    return lambda tensors: ModelConfig(
        generator="rrdb",
        flow="none",
        features=_outputs(tensors, first),
        blocks=_count(tensors, block),
        growth=_outputs(tensors, growing),
    )


def _srresnet(block: str) -> Callable[[Tensors], ModelConfig]:
    return lambda tensors: ModelConfig(
        generator="srresnet",
        flow="none",
        features=_outputs(tensors, "conv_first.weight"),
        blocks=_count(tensors, block),
    )


def _compact(tensors: Tensors) -> ModelConfig:
    layers = _count(
        tensors, r"body\.(\d+)\."
    )  # two for each block and for the first convolution, and the last
    return ModelConfig(
        generator="compact",
        flow="none",
        features=_outputs(tensors, "body.0.weight"),
        blocks=(layers - 3) // 2,
    )


def _outputs(tensors: Tensors, name: str) -> int:
    if name not in tensors or tensors[name].ndim == 0:
        raise ForeignError(f"missing: {name}")
    return tensors[name].shape[0]


def _count(tensors: Tensors, pattern: str) -> int:
    """One more than the largest number in the place of the pattern's group."""
    return 1 + max((int(found[1]) for name in tensors if (found := re.match(pattern, name))), default=-1)


_FAMILIES: Final = (
    _Family(
        "FRNet", "srnet.conv_in.0.weight", _frnet,
        (
            (r"^flow_net\.(..)coder\.0", r"fnet.\1coder1"),
            (r"^flow_net\.(..)coder\.1", r"fnet.\1coder2"),
            (r"^flow_net\.(..)coder\.2", r"fnet.\1coder3"),
            (r"^flow_net\.head", "fnet.flow"),
            (r"^conv_in", "srnet.conv_in.0"),
            (r"^blocks\.(\d+)\.conv1", r"srnet.resblocks.\1.conv.0"),
            (r"^blocks\.(\d+)\.conv2", r"srnet.resblocks.\1.conv.2"),
            (r"^head\.4", "srnet.conv_out"),
            (r"^head", "srnet.conv_up"),
        ),
        extras=_KERNELS,
    ),
    _Family(
        "RRDBNet", "body.0.rdb1.conv1.weight",
        _rrdb("conv_first.weight", r"body\.(\d+)\.", "body.0.rdb1.conv1.weight"),
    ),
    _Family(  # as ESRGAN released it in 2019
        "RRDBNet", "RRDB_trunk.0.RDB1.conv1.weight",
        _rrdb("conv_first.weight", r"RRDB_trunk\.(\d+)\.", "RRDB_trunk.0.RDB1.conv1.weight"),
        (
            (r"^body\.(\d+)\.rdb", r"RRDB_trunk.\1.RDB"),
            (r"^conv_body", "trunk_conv"),
            (r"^conv_up", "upconv"),
            (r"^conv_hr", "HRconv"),
        ),
    ),
    _Family(  # as ESRGAN released it in 2018, and many who trained with its code
        "RRDBNet", "model.1.sub.0.RDB1.conv1.0.weight",
        _rrdb("model.0.weight", r"model\.1\.sub\.(\d+)\.RDB", "model.1.sub.0.RDB1.conv1.0.weight"),
        (
            (r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0"),
            (r"^conv_body", "model.1.sub.BLOCKS"),
            (r"^conv_first", "model.0"),
            (r"^conv_up1", "model.3"),
            (r"^conv_up2", "model.6"),
            (r"^conv_hr", "model.8"),
            (r"^conv_last", "model.10"),
        ),
    ),
    _Family("SRResNet", "body.0.conv1.weight", _srresnet(r"body\.(\d+)\.")),
    _Family(  # as MMSR, the elder BasicSR, named it
        "SRResNet", "recon_trunk.0.conv1.weight", _srresnet(r"recon_trunk\.(\d+)\."),
        ((r"^body", "recon_trunk"), (r"^conv_hr", "HRconv")),
    ),
    _Family("SRVGGNetCompact", "body.0.weight", _compact),
)  # fmt: skip
