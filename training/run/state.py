"""State: what a run needs to go on elsewhere as if nothing had happened, in files of at most 15 MiB.

They are five at most for every preset but those with an RRDB of the published size, so that a state travels.
state.json names the pieces (safetensors) with their digests and is replaced last, in one rename; pieces carry
their step in the name. So a kill at any moment leaves the old state or the new one, whole. There is no random
state to keep: batches are functions of seed and step (data/sampler.py).
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.optim import Optimizer

from model_core.discriminator import Discriminator
from model_core.model import Model
from training.config import TrainingConfig

FORMAT: Final = 1
MANIFEST: Final = "state.json"
PIECE_BYTES_MAX: Final = 15 * 2**20 - 2**16  # leaves room for a piece's own header


class StateError(ValueError):
    """The state is incomplete, altered, or of another model."""


@dataclass(slots=True)
class Progress:
    """Where a training stands, over all its runs.

    step, seconds   steps done, and the time spent in them
    pixels          low-resolution pixels seen, each frame of each clip counted once
    core_seconds    of the processor, all threads together, loading included
    branch_step, branch_seconds   where its schedule began: where it branched off from another, if it did
    """

    step: int = 0
    seconds: float = 0.0
    pixels: int = 0
    core_seconds: float = 0.0
    branch_step: int = 0
    branch_seconds: float = 0.0


@dataclass(slots=True, eq=False)
class Learner:
    """What a step changes: weights, optimisers and averaged weights (detached) by name, progress; D's own."""

    model: Model
    optimisers: dict[str, Optimizer]
    ema: dict[str, Tensor]
    progress: Progress = field(default_factory=Progress)
    critic: Discriminator | None = None
    critic_optimisers: dict[str, Optimizer] = field(default_factory=dict)

    def trained(self) -> list[tuple[str, nn.Module, dict[str, Optimizer]]]:
        """Each network with its optimisers, and the names under which they are stored."""
        parts: list[tuple[str, nn.Module, dict[str, Optimizer]]] = [("model", self.model, self.optimisers)]
        if self.critic is not None:
            parts.append(("critic", self.critic, self.critic_optimisers))
        return parts


def save_state(folder: Path, config: TrainingConfig, learner: Learner, *, light: bool = False) -> None:
    """Write all of it, then drop what the previous state left.

    light   for the road: momentum in bf16, and no averaged weights, which a thousand steps bring back
    """
    progress = learner.progress
    folder.mkdir(parents=True, exist_ok=True)
    tensors = _flatten(learner)
    groups = _divide(_lightened(tensors) if light else tensors)
    pieces = []
    for index, group in enumerate(groups):
        content = save_tensors(group)
        name = f"step{progress.step:08d}-{index}.safetensors"
        _write(folder / name, content)
        pieces.append({"file": name, "sha256": hashlib.sha256(content).hexdigest()})
    manifest = {
        "format": FORMAT,
        **asdict(progress),
        "config": json.loads(config.to_json()),
        "pieces": pieces,
    }
    _write(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    kept = {piece["file"] for piece in pieces} | {MANIFEST}
    for file in folder.iterdir():
        if file.name not in kept:
            file.unlink()


def has_state(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def read_config(folder: Path) -> TrainingConfig:
    return TrainingConfig.from_dict(_manifest(folder)["config"])


def read_progress(folder: Path) -> Progress:
    manifest = _manifest(folder)
    return Progress(
        **{field.name: manifest[field.name] for field in fields(Progress) if field.name in manifest}
    )


def load_state(folder: Path, learner: Learner) -> None:
    """Put a saved state into a learner of the same model. Raises StateError."""
    manifest = _manifest(folder)
    tensors: dict[str, Tensor] = {}
    for piece in manifest["pieces"]:
        try:
            content = (folder / piece["file"]).read_bytes()
            if hashlib.sha256(content).hexdigest() != piece["sha256"]:
                raise StateError(f"{folder / piece['file']}: altered since it was written")
            tensors |= load_tensors(content)
        except (OSError, SafetensorError) as error:
            raise StateError(f"{folder / piece['file']}: {error}") from error
    _restore(tensors, learner, where=folder)
    found = read_progress(folder)
    for name in asdict(found):
        setattr(learner.progress, name, getattr(found, name))


def load_ema(folder: Path) -> dict[str, Tensor]:
    """The averaged weights alone, for evaluation and promotion."""
    return _load_part(folder, "ema.")


def load_critic(folder: Path, critic: Discriminator) -> None:
    """Give D the weights that it had there. Raises StateError where there is none, or one of other input."""
    found = _load_part(folder, "critic.")
    if not found:
        raise StateError(f"{folder}: this training had no D")
    try:
        critic.load_state_dict(found)
    except RuntimeError as error:
        raise StateError(f"{folder}: D of another model: {error}") from error


def _load_part(folder: Path, start: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for piece in _manifest(folder)["pieces"]:
        found |= load_tensors((folder / piece["file"]).read_bytes())
    return {name.removeprefix(start): value for name, value in found.items() if name.startswith(start)}


def _flatten(learner: Learner) -> dict[str, Tensor]:
    tensors = {f"ema.{name}": value for name, value in learner.ema.items()}
    for title, network, optimisers in learner.trained():
        tensors |= {f"{title}.{name}": value for name, value in network.state_dict().items()}
        for name, parameter in network.named_parameters():
            for optimiser_title, optimiser in optimisers.items():
                for key, value in optimiser.state.get(parameter, {}).items():
                    tensors[f"{optimiser_title}.{key}.{name}"] = value
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _restore(tensors: dict[str, Tensor], learner: Learner, *, where: Path) -> None:
    try:
        for title, network, _ in learner.trained():
            start = f"{title}."
            network.load_state_dict(
                {n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)}
            )
        averaged = "ema" if any(name.startswith("ema.") for name in tensors) else "model"
        for name, value in learner.ema.items():
            value.copy_(tensors[f"{averaged}.{name}"])
    except (RuntimeError, KeyError) as error:
        raise StateError(f"{where}: of another model: {error}") from error
    for _, network, optimisers in learner.trained():
        parameters = dict(network.named_parameters())
        for title, optimiser in optimisers.items():
            for full_name, value in tensors.items():
                if full_name.startswith(f"{title}."):
                    key, _, name = full_name.removeprefix(f"{title}.").partition(".")
                    optimiser.state[parameters[name]][key] = _like(value, parameters[name])


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """On the parameter's device; of its memory layout, which the fused update relies on."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _lightened(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.bfloat16() if name.startswith("muon.") else value
        for name, value in tensors.items()
        if not name.startswith("ema.")
    }


def _divide(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    groups: list[dict[str, Tensor]] = [{}]
    used = 0
    for name, value in tensors.items():
        size = value.nbytes + 2 * len(name) + 200  # its entry in the header
        if used + size > PIECE_BYTES_MAX and groups[-1]:
            groups.append({})
            used = 0
        groups[-1][name] = value
        used += size
    return groups


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise StateError(f"{folder / MANIFEST}: {error}") from error
    if manifest.get("format") != FORMAT:
        raise StateError(f"{folder / MANIFEST}: format {manifest.get('format')!r}; this code reads {FORMAT}")
    return manifest


def _write(path: Path, content: bytes) -> None:
    """Aside, to the disk, then renamed: never half a file under its name."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
