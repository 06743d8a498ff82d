"""Making: the backend that runs a model on this machine, in the runtime that suits both.

Here alone runtimes are compared: OpenVINO where it can run a model on a processor, PyTorch for the rest.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache

import torch

from model_core.checkpoint import Checkpoint
from model_core.config import ModelConfig
from model_core.quantised import quantised
from service.errors import InvalidOption
from worker.engine.backends.base import Backend
from worker.engine.backends.precision import Precision, choose, native
from worker.engine.backends.torch import TorchBackend


@dataclass(frozen=True, slots=True)
class Runtime:
    """What decides how numbers are rounded; work that began in one goes on in the same."""

    backend: str  # such as "openvino-cpu"
    precision: Precision

    def __str__(self) -> str:
        """As service.jobs.manifest.Plan.runtime has it."""
        return f"{self.backend} {self.precision}"


@dataclass(frozen=True, slots=True)
class Choice:
    runtime: Runtime
    reason: str  # for the log and the job's report


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes backends for one device."""

    device: torch.device
    tile_pixels_max: int | None = None  # None: what suits the runtime

    def choose(self, found: Checkpoint) -> Choice:
        """What suits a model here."""
        formats = [
            each
            for each in native(self.device.type)
            if each != "int8" or (found.ranges and self._by_openvino(found.config, each))
        ]
        precision, reason = choose(found.card, formats)
        return Choice(self.runtime(found.config, precision), reason)

    def runtime(self, config: ModelConfig, precision: Precision) -> Runtime:
        """The fastest that has this precision."""
        by_openvino = self._by_openvino(config, precision)
        return Runtime("openvino-cpu" if by_openvino else f"torch-{self.device.type}", precision)

    def runtimes(self) -> frozenset[Runtime]:
        """Those in which this machine can go on with work that began in them."""
        # Where a format is not native OpenVINO takes another, without a word.
        by_openvino = native("cpu") if self.device.type == "cpu" and _has_openvino() else ()
        return frozenset(
            [Runtime("openvino-cpu", precision) for precision in by_openvino]
            + [Runtime(f"torch-{self.device.type}", precision) for precision in self._of_pytorch]
        )

    def check(self, precision: Precision) -> None:
        """Raises InvalidOption unless models can run in it here."""
        has_int8 = self.device.type == "cpu" and _has_openvino() and "int8" in native("cpu")
        formats = (*self._of_pytorch, *(["int8"] if has_int8 else []))
        if precision not in formats:
            message = (
                f"precision is {precision}, and on this {self.device.type} it can be {', '.join(formats)}"
            )
            raise InvalidOption(message, field="precision", value=precision)

    @property
    def _of_pytorch(self) -> tuple[Precision, ...]:
        """On a processor PyTorch emulates bfloat16 where there are no units for it."""
        return ("float32", "bfloat16") if self.device.type == "cpu" else native(self.device.type)

    def make(self, found: Checkpoint, runtime: Runtime) -> Backend:
        """Raises ValueError for int8 of a version that has no ranges."""
        model = found.model
        if runtime.precision == "int8":
            if not found.ranges:
                raise ValueError(f"version {found.version} was not made for int8")
            model = quantised(model, found.ranges)
        if runtime.backend == "openvino-cpu":
            from worker.engine.backends.openvino import (  # noqa: PLC0415 - need not be there
                TILE_PIXELS_MAX,
                OpenVinoBackend,
            )

            return OpenVinoBackend(
                model, precision=runtime.precision, tile_pixels_max=self.tile_pixels_max or TILE_PIXELS_MAX
            )
        return TorchBackend(
            model,
            device=str(self.device),
            precision=runtime.precision,
            tile_pixels_max=self.tile_pixels_max,
        )

    def _by_openvino(self, config: ModelConfig, precision: Precision) -> bool:
        """Not networks for motion, nor the skips of imported recurrent ones; and bicubic is too little."""
        if self.device.type != "cpu" or precision == "float16" or not _has_openvino():
            return False
        if config.recurrent:
            return config.flow_comes_along and config.upsampling == "bicubic"
        return config.generator != "bicubic"


@cache
def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None
