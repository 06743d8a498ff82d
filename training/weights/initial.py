"""Where a fresh run gets its weights from: a training, a checkpoint, or a warm start's safetensors file."""

import re
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model_core.checkpoint import shipped
from model_core.config import ModelConfig
from model_core.model import Model, build
from training.weights.reading import read_weights

# The short names of the warm starts -> ours. Each key keeps its `.weight` or `.bias`.
WARM_START_NAMES: Final = (
    (re.compile(r"i\."), "generator.conv_in."),
    (re.compile(r"r\.(\d+)\.a\."), r"generator.blocks.\1.conv1."),
    (re.compile(r"r\.(\d+)\.b\."), r"generator.blocks.\1.conv2."),
    (re.compile(r"u\."), "generator.head.0."),
    (re.compile(r"f\.(\d)\.(\d)\."), r"flow_net.features.\1.\2."),
    (re.compile(r"d\.(\d)\.(\d)\."), r"flow_net.decoders.\1.\2."),
)


class InitError(ValueError):
    """The weights are unreadable or of another shape than the model."""


def find_initial(name: str, unpacked: Path) -> Path:
    """A path as it is, else the model that ships so named, else the file of a pack. Raises InitError."""
    for found in (Path(name), shipped().get(name), unpacked / name):
        if found is not None and found.exists():
            return found
    raise InitError(f"{name}: neither a path, nor one of {sorted(shipped())}, nor a file inside the pack")


def load_initial(model: Model, source: Path) -> None:
    """Put weights into the model; a source that holds only G or only F leaves the other as it is."""
    try:
        tensors = read_weights(source)[0].state_dict() if source.is_dir() else _read_file(source)
        missing, unknown = model.load_state_dict(tensors, strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InitError(f"{source}: {error}") from error
    parts = {name.split(".")[0] for name in tensors}
    half_filled = [name for name in missing if name.split(".")[0] in parts]
    if unknown or half_filled:
        raise InitError(f"{source}: unknown {unknown[:3]}, missing {half_filled[:3]}")


def _read_file(file: Path) -> dict[str, Tensor]:
    return {_our_name(name): value.float() for name, value in load_file(file).items()}


def _our_name(name: str) -> str:
    for pattern, ours in WARM_START_NAMES:
        if pattern.match(name):
            return pattern.sub(ours, name, count=1)
    return name


def model_from_file(file: Path) -> Model:
    """The model of a warm start's file, which holds G for DIS; its size is read off the weights."""
    tensors = _read_file(file)
    try:
        features = tensors["generator.conv_in.weight"].shape[0]
        blocks = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("generator.blocks."))
    except (KeyError, ValueError) as error:
        raise InitError(f"{file}: holds no G: {error}") from error
    model = build(ModelConfig(generator="frvsr", flow="dis", features=features, blocks=blocks))
    load_initial(model, file)
    return model
