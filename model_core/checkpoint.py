"""A checkpoint on disk: model.safetensors, config.json, card.json in one folder.

The version is the first 16 hex digits of a SHA-256 over config and weights, so equal content has an equal
name anywhere. Nothing is ever unpickled. Where checkpoints travel (storage, hot loading): worker/models/.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from model_core.config import ModelConfig
from model_core.model import Model, build
from model_core.quantised import Ranges

FILES: Final = ("model.safetensors", "config.json", "card.json")
SHIPPED: Final = Path(__file__).parent / "weights"
RANGES_PREFIX: Final = "int8."  # in model.safetensors, before the name of a convolution of G


class CheckpointError(ValueError):
    """The folder holds no usable checkpoint: a file is missing, altered, or not what the config says."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    version: str
    model: Model  # evaluation mode, fp32
    card: dict[str, Any] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)  # of a version that can run in int8 (quantised.py)

    @property
    def config(self) -> ModelConfig:
        return self.model.config


def content_version(config_json: bytes, weights: bytes) -> str:
    return hashlib.sha256(config_json + b"\0" + weights).hexdigest()[:16]


def save(
    folder: Path,
    model: Model,
    card: dict[str, Any],
    *,
    ranges: Ranges | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Write the three files, each aside and renamed; returns the version. `dtype` may halve the weights."""
    tensors = {name: value.detach().to(dtype).contiguous() for name, value in model.state_dict().items()}
    tensors |= {RANGES_PREFIX + name: torch.tensor(span) for name, span in (ranges or {}).items()}
    weights, config_json = save_tensors(tensors), model.config.to_json().encode()
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "model.safetensors", weights)
    _write(folder / "config.json", config_json)
    _write(folder / "card.json", json.dumps(card, indent=1, ensure_ascii=False).encode())
    return content_version(config_json, weights)


def version_of(folder: Path) -> str:
    """The version of the files there, whatever they hold; CheckpointError where one is missing."""
    weights, config_json, _ = _read(folder)
    return content_version(config_json, weights)


def load(folder: Path, *, version: str | None = None) -> Checkpoint:
    """Read and check a checkpoint, of that `version` if given; CheckpointError names what is wrong."""
    weights, config_json, card_json = _read(folder)
    found = content_version(config_json, weights)
    if version is not None and found != version:
        raise CheckpointError(f"{folder}: its content is version {found}, not {version}")
    try:
        model = build(ModelConfig.from_json(config_json.decode())).requires_grad_(False)
        tensors = {name: value.float() for name, value in load_tensors(weights).items()}
        ranges = _taken_ranges(tensors)
        model.load_state_dict(tensors, strict=True)
        card = json.loads(card_json)
    except (ValueError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if bad := [name for name, value in tensors.items() if not value.isfinite().all()]:
        raise CheckpointError(f"{folder}: weights that are not finite: {bad}")
    return Checkpoint(found, model.eval(), card, ranges)


def shipped() -> dict[str, Path]:
    """The checkpoints inside the package, by name; `bicubic` is always among them."""
    return {path.name: path for path in sorted(SHIPPED.iterdir()) if (path / "config.json").is_file()}


def _read(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Weights, config and card as they lie there."""
    try:
        weights, config_json, card_json = ((folder / name).read_bytes() for name in FILES)
    except OSError as error:
        raise CheckpointError(f"{folder}: {error.strerror}: {error.filename}") from error
    return weights, config_json, card_json


def _taken_ranges(tensors: dict[str, torch.Tensor]) -> Ranges:
    """What int8 needs, out of the tensors of a file, where only weights are left."""
    spans = {}
    for name in [name for name in tensors if name.startswith(RANGES_PREFIX)]:
        low, high = tensors.pop(name).tolist()
        spans[name.removeprefix(RANGES_PREFIX)] = (low, high)
    return spans


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), 0o644)  # a temporary file is its maker's alone
    Path(file.name).replace(path)
