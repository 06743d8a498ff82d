"""Loader: from a model's name and version to a running engine, by way of the local cache and the gate.

The gate: the content is what the version says, the weights fit the config and are finite, the model gives
finite pictures of the right size and the answer in its card. Not here: which version, and for how long
(models.py).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch

from model_core import checkpoint, known_answer
from model_core.checkpoint import Checkpoint, CheckpointError
from service.errors import CheckpointInvalid
from service.objects import published
from service.objects.base import NotFound, Storage
from worker.engine.backends.precision import Choice, Precision, choose
from worker.engine.backends.torch import TILE_PIXELS_MAX, TorchBackend
from worker.engine.engine import Engine, Stage


@dataclass(frozen=True, slots=True)
class Loaded:
    engine: Engine
    choice: Choice
    card: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where and how the models of this worker run."""

    name: str = "auto"  # "auto", "cpu", "cuda" or "cuda:N"
    precision: Literal["auto"] | Precision = "auto"  # "auto" times the formats here
    batch_max: int = 8
    tile_pixels_max: int = TILE_PIXELS_MAX
    on_batch: Callable[[int], None] | None = None  # told the number of streams of each step
    on_stage: Callable[[Stage, float], None] | None = None  # told the seconds of each stage

    @property
    def torch_device(self) -> torch.device:
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.name == "auto" else self.name
        return torch.device(name)


class Loader:
    """cache_dir keeps what was fetched; it may be emptied while no worker runs."""

    def __init__(self, storage: Storage, cache_dir: Path, device: Device) -> None:
        self._storage = storage
        self._cache_dir = cache_dir
        self._device = device
        self._turn: AbstractContextManager[object] = Lock()  # held by the engine that ticks

    def load(self, name: str, version: str, precision: Precision | None) -> Loaded:
        """An engine of its own for this version, in `precision` or in the one that suits this machine.

        Raises CheckpointInvalid for what doesn't pass the gate, StorageUnavailable
        """
        try:
            found = self._fetch(name, version)
            known_answer.check(found.model, found.card)
        except (CheckpointError, NotFound) as error:
            raise CheckpointInvalid(f"model {name} {version}: {error}", field="model", value=name) from error
        choice = self._choice(found, precision)
        engine = Engine(
            self._backend(found, choice.precision),
            batch_max=self._device.batch_max,
            device=self._turn,
            on_batch=self._device.on_batch,
            on_stage=self._device.on_stage,
        )
        return Loaded(engine, choice, found.card)

    def honours(self, backend: str, precision: str) -> bool:
        """Whether work that began on `backend` in `precision` can go on here as it began."""
        kind = self._device.torch_device.type
        narrow = {"cuda": ("float16", "bfloat16"), "cpu": ("bfloat16",)}
        return backend == f"torch-{kind}" and precision in ("float32", *narrow.get(kind, ()))

    def _fetch(self, name: str, version: str) -> Checkpoint:
        folder = self._cache_dir / name / version
        try:
            return checkpoint.load(folder, version=version)
        except CheckpointError:  # not there, or spoilt on this disk: what storage has decides
            for file in published.FILES:
                self._storage.fetch(published.file_key(name, version, file), folder / file)
            return checkpoint.load(folder, version=version)

    def _choice(self, found: Checkpoint, pinned: Precision | None) -> Choice:
        if pinned is not None:
            return Choice(pinned, "the job began in it")
        if self._device.precision != "auto":
            return Choice(self._device.precision, "set for this worker")
        return choose(
            lambda precision: self._backend(found, precision), self._device.torch_device.type, found.card
        )

    def _backend(self, found: Checkpoint, precision: Precision) -> TorchBackend:
        return TorchBackend(
            found.model,
            device=str(self._device.torch_device),
            precision=precision,
            tile_pixels_max=self._device.tile_pixels_max,
        )
