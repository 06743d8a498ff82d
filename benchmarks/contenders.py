"""Contenders: who takes part in the measurement of steps. What they run is in loops.py."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch

from benchmarks.loops import COMMON, Spent, common_loop, our_loop
from model_core import checkpoint
from model_core.checkpoint import Checkpoint
from model_core.config import ModelConfig
from model_core.model import Model, build
from model_core.pixels import to_float
from model_core.quantised import measured_ranges
from worker.engine.backends.making import Maker, Runtime
from worker.engine.backends.openvino import TILE_PIXELS_MAX
from worker.engine.backends.precision import Precision, native
from worker.frames import LowFrame

# The shapes that Real-ESRGAN publishes for speed; with random weights, which are as fast as any.
PEERS: Final = {
    "realesr-animevideov3": ModelConfig(generator="compact", flow="none", features=64, blocks=16),
    "realesr-general-x4v3": ModelConfig(generator="compact", flow="none", features=64, blocks=32),
}
COMMON_NAME: Final = "TecoGAN-PyTorch's network"
AS_PUBLISHED: Final = "common loop"


@dataclass(frozen=True, slots=True)
class Contender:
    """A network in a runtime.

    group    "common", "ours" or "peers"
    losses   PSNR that the precision costs, in dB, by the card of each model that has this network
    loop     gives what each frame took
    """

    group: str
    network: str
    runtime: str
    precision: Precision
    config: ModelConfig
    losses: tuple[float, ...]
    loop: Callable[[Sequence[LowFrame]], Iterator[Spent]]


def contenders() -> Iterator[Contender]:
    """The common loop first: the others are set against it."""
    yield _published("common", COMMON_NAME, COMMON)
    for name, found in _shipped().items():
        yield from _by_ours("ours", name, found)
    for name, config in PEERS.items():
        yield _published("peers", name, config)
        yield from _by_ours("peers", name, [_random(config)])


def _published(group: str, network: str, config: ModelConfig) -> Contender:
    return Contender(group, network, AS_PUBLISHED, "float32", config, (), partial(common_loop, config))


def _shipped() -> dict[str, list[Checkpoint]]:
    """Models by the names of all that share their network, since weights don't change what it costs."""
    found = {name: checkpoint.load(path) for name, path in checkpoint.shipped().items()}
    names: dict[ModelConfig, list[str]] = {}
    for name, each in found.items():
        names.setdefault(each.config, []).append(name)
    return {", ".join(sharing): [found[name] for name in sharing] for sharing in names.values()}


def _by_ours(group: str, network: str, found: Sequence[Checkpoint]) -> Iterator[Contender]:
    """By every runtime and precision that this processor has units for."""
    maker, first = Maker(torch.device("cpu"), TILE_PIXELS_MAX), found[0]
    formats = [precision for precision in native("cpu") if precision != "int8" or first.ranges]
    if first.config.generator == "bicubic":
        formats = ["float32"]  # no network that could run in another
    runtimes = [maker.runtime(first.config, precision) for precision in formats]
    for runtime in dict.fromkeys([*runtimes, Runtime("torch-cpu", "float32")]):
        costs = [_losses_db(each.card).get(runtime.precision) for each in found]
        yield Contender(
            group,
            network,
            runtime.backend,
            runtime.precision,
            first.config,
            tuple(cost for cost in costs if cost is not None),
            partial(our_loop, maker.make(first, runtime)),
        )


def _losses_db(card: dict[str, Any]) -> dict[str, float]:
    losses: dict[str, float] = card.get("precision_loss_db", {})
    return losses


def _random(config: ModelConfig) -> Checkpoint:
    torch.manual_seed(0)
    model = build(config).eval().requires_grad_(False)
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)

    def run(model: Model) -> None:
        model.generate(to_float(torch.from_numpy(frame)))

    return Checkpoint("random", model, ranges=measured_ranges(model, run))
