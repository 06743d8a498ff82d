"""Loader: from a model's name and version to a running engine, by way of the local cache and the gate.

The gate: the content is what the version says, the weights fit the config and are finite, the model gives
finite pictures of the right size and the answer in its card. Not here: which version, and for how long
(models.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

import numpy as np
import torch

from model_core import checkpoint, known_answer
from model_core.checkpoint import Checkpoint, CheckpointError
from model_core.model import Model
from service.errors import CheckpointInvalid, DeviceGone
from service.objects import published
from service.objects.base import NotFound, Storage
from worker.engine.backends.base import Backend, Flow, Turn
from worker.engine.backends.making import Choice, Maker, Runtime
from worker.engine.backends.precision import Precision
from worker.engine.device import answers
from worker.engine.engine import Engine
from worker.engine.ticks import Stage

# On the test picture: int8 of the shipped models is .3 from float32, a wrong channel order some 40.
LEVELS_APART_MAX: Final = 8.0


@dataclass(frozen=True, slots=True)
class Loaded:
    engine: Engine
    choice: Choice
    card: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where and how the models of this worker run; the numbers are those of the settings."""

    name: str  # "auto", "cpu", "cuda" or "cuda:N"
    precision: Literal["auto"] | Precision  # "auto" takes what is native here and costs little
    batch_max: int
    tile_pixels_max: int | None
    on_batch: Callable[[int], None] | None = None  # told the number of streams of each step
    on_stage: Callable[[Stage, float], None] | None = None  # told the seconds of each stage

    @property
    def torch_device(self) -> torch.device:
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.name == "auto" else self.name
        return torch.device(name)


class Loader:
    """cache_dir keeps what was fetched; it may be emptied while no worker runs.

    Raises InvalidOption for a precision that the device has not
    """

    def __init__(self, storage: Storage, cache_dir: Path, device: Device) -> None:
        self._storage = storage
        self._cache_dir = cache_dir
        self._device = device
        self._maker = Maker(device.torch_device, device.tile_pixels_max)
        if device.precision != "auto":
            self._maker.check(device.precision)
        self._turn = Lock()  # held by the engine that ticks

    def load(self, name: str, version: str, runtime: Runtime | None) -> Loaded:
        """An engine of its own for this version, in that runtime or in the one that suits this machine.

        Raises CheckpointInvalid for what doesn't pass the gate, StorageUnavailable, DeviceGone
        """
        try:
            found = self._fetch(name, version)
            known_answer.check(found.model, found.card)
            choice = self._choice(found, runtime)
            backend = self._maker.make(found, choice.runtime)
            check_runtime(backend, found.model)
        except (CheckpointError, NotFound, ValueError) as error:
            raise CheckpointInvalid(f"model {name} {version}: {error}", field="model", value=name) from error
        except RuntimeError as error:
            if answers(self._device.torch_device):
                raise
            raise DeviceGone(f"model {name} {version} could not be loaded: {error}") from error
        engine = Engine(
            backend,
            batch_max=self._device.batch_max,
            device=self._turn,
            on_batch=self._device.on_batch,
            on_stage=self._device.on_stage,
        )
        return Loaded(engine, choice, found.card)

    def runtimes(self) -> frozenset[Runtime]:
        """Whether work that began in this runtime can go on here as it began."""
        return self._maker.runtimes()

    def _fetch(self, name: str, version: str) -> Checkpoint:
        shipped = checkpoint.shipped().get(name)
        if shipped is not None and checkpoint.version_of(shipped) == version:
            return checkpoint.load(shipped, version=version)
        folder = self._cache_dir / name / version
        try:
            return checkpoint.load(folder, version=version)
        except CheckpointError:  # not there, or spoilt on this disk: what storage has decides
            for file in published.FILES:
                self._storage.fetch(published.file_key(name, version, file), folder / file)
            return checkpoint.load(folder, version=version)

    def _choice(self, found: Checkpoint, pinned: Runtime | None) -> Choice:
        if pinned is not None:
            return Choice(pinned, "the job began in it")
        wanted = self._device.precision
        if wanted == "auto":
            return self._maker.choose(found)
        if wanted == "int8" and not found.ranges:
            reason = "int8 is set for this worker, and this version was not made for it"
            return Choice(self._maker.runtime(found.config, "float32"), reason)
        return Choice(self._maker.runtime(found.config, wanted), "set for this worker")


def check_runtime(backend: Backend, model: Model) -> None:
    """What serves must make of the test picture what PyTorch makes of it, as nearly as its precision allows.

    Raises CheckpointError
    """
    frames, flows = known_answer.question()
    state, output = backend.start(frames[0], None), None
    for t, frame in enumerate(frames):
        flow: Flow | None = None
        if t and backend.config.flow_comes_along:
            flow = flows[t - 1]
        elif t and backend.config.recurrent:
            [flow] = backend.flows([frames[t - 1]], [frame])
        ahead = frames[t + 1] if t + 1 < len(frames) else None
        [stepped] = backend.step([Turn(state, frame, flow, ahead)])
        state, output = stepped.state, stepped.output
        if output is None:
            raise CheckpointError(f"its output by {backend.name} in {backend.precision} is not finite")
    assert output is not None, "there are frames in the question"
    apart = float(np.abs(output.astype(int) - known_answer.picture(model)).mean())
    if apart > LEVELS_APART_MAX:
        raise CheckpointError(
            f"its output by {backend.name} in {backend.precision} is {apart:.1f} levels from PyTorch's"
        )
