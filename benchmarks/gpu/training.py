"""Training on a device: a step of each preset on data that lie there already, and what the loader supplies.

Apart, so that one sees which of the two waits for the other: the rows that steps take in a second, and those
that the loader's one thread makes.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from benchmarks.gpu.cases import Case, Record, finish, forget_peak, peak_mib
from training.config import TrainingConfig
from training.data.batches import Batch
from training.data.sampler import Sampler
from training.data.sources import Clip, Library, load_library
from training.losses.perceptual import VGG16, VGG_TAKEN_AFTER, Vgg16, shapes
from training.presets import PRESETS
from training.run.processes import Processes
from training.run.step import Step
from training.run.train import begin

WARM_UP: Final = 2  # steps in each format
TINY: Final = {"features": 8, "blocks": 1, "frames": 3, "crop": 16}
# Every step is a full one: D learns in each, however far it leads.
FULL: Final = {"critic_start": 0, "critic_lead_max": float("inf")}
RATE: Final = 1e-6  # nothing is to be learned from noise


def step_cases(
    device: torch.device, presets: Sequence[str], batches: Sequence[int], *, tiny: bool
) -> Iterator[Case]:
    for preset, batch in itertools.product(presets, batches):
        config = _config(preset, tiny=tiny).override({"batch": batch, **FULL})
        yield Case(f"step {preset} {batch}", 1.0, partial(_measure_step, preset, config, device))


def _measure_step(preset: str, config: TrainingConfig, device: torch.device, ends_at: float) -> list[Record]:
    """fp32 and bf16 in turn, after a warm-up of both."""
    # A run leaves TF32 in convolutions at PyTorch's default, which is on; the engine's fp32 turns it off.
    torch.backends.cudnn.allow_tf32 = True
    record: Record = {"kind": "step", "preset": preset, "batch": config.data.batch}
    try:
        steps, batch = _ready(config, device), made_up_batch(config, device)
        took_s: dict[str, list[float]] = {"fp32": [], "bf16": []}
        peaks: list[float | None] = []
        for turn in itertools.count():
            if turn > WARM_UP and time.monotonic() > ends_at:
                break
            for name, each in steps.items():
                forget_peak(device)
                finish(device)
                began = time.perf_counter()
                each(batch, RATE)
                finish(device)
                if turn >= WARM_UP:
                    took_s[name].append(time.perf_counter() - began)
                    peaks.append(peak_mib(device))
    except torch.OutOfMemoryError:
        return [{**record, "failed": "out of memory"}]
    medians = {f"{name}_ms": 1000 * statistics.median(each) for name, each in took_s.items()}
    known = [peak for peak in peaks if peak is not None]
    return [
        {
            **record, **medians, "steps": len(took_s["fp32"]), "peak_mib": max(known, default=None),
            "rows_per_s": 1000 * config.data.batch / min(medians.values()),
        }
    ]  # fmt: skip


def _ready(config: TrainingConfig, device: torch.device) -> dict[str, Step]:
    with tempfile.TemporaryDirectory() as folder:
        learner = begin(config, Path(folder) / "state", None, device)
        perceptual = None
        if config.losses.vgg_weight:
            wanted = shapes(VGG16, VGG_TAKEN_AFTER["cosine"])
            random = {name: torch.randn(shape) * 0.02 for name, shape in wanted.items()}
            save_file(random, Path(folder) / VGG16.features_file)
            perceptual = Vgg16(Path(folder), device)
    alone = Processes(0, 1, device)
    return {
        name: Step(learner, config, alone, vgg=perceptual, autocast=autocast)
        for name, autocast in (("fp32", False), ("bf16", True))
    }


def made_up_batch(config: TrainingConfig, device: torch.device) -> Batch:
    """Noise of the right shapes, and motion of a pixel or so where F is not a network."""
    count, frames, crop = config.data.shape_of(0)
    random = torch.Generator(device).manual_seed(0)
    low = torch.rand(count, frames, 3, crop, crop, generator=random, device=device)
    target = torch.rand(count, frames, 3, 4 * crop, 4 * crop, generator=random, device=device)
    moves = 2 * frames - 2 if config.moves_both_ways else frames - 1
    flow = None
    if config.model.flow_comes_along:
        flow = torch.randn(count, moves, 2, crop, crop, generator=random, device=device)
    return Batch(low, target, flow)


def loader_cases(
    device: torch.device, data: Path | None, presets: Sequence[str], batch: int, *, tiny: bool
) -> Iterator[Case]:
    for preset in presets:
        config = _config(preset, tiny=tiny).override({"batch": batch})
        yield Case(f"loader {preset}", 1.0, partial(_measure_loader, preset, config, data, device))


def _measure_loader(
    preset: str, config: TrainingConfig, data: Path | None, device: torch.device, ends_at: float
) -> list[Record]:
    """One thread, as a run has: the first batch, when no motion is known yet, and the others."""
    began = time.perf_counter()
    library = made_up_library() if data is None else load_library(data)
    loaded = time.perf_counter()
    sampler = Sampler(library, config, device)
    ready = time.perf_counter()
    took_s: list[float] = []
    while len(took_s) < 2 or time.monotonic() < ends_at:
        started = time.perf_counter()
        sampler.batch(len(took_s), config.data.shape_of(len(took_s)))
        finish(device)
        took_s.append(time.perf_counter() - started)
    return [
        {
            "kind": "loader", "preset": preset, "batch": config.data.batch, "batches": len(took_s),
            "library_s": loaded - began, "sampler_s": ready - loaded,
            "rows_per_s_first": config.data.batch / took_s[0],
            "rows_per_s": config.data.batch / statistics.median(took_s[1:]),
        }
    ]  # fmt: skip


def made_up_library() -> Library:
    """Clips and photographs of noise, enough of them that a batch meets several."""
    random = np.random.default_rng(0)

    def frames(*shape: int) -> NDArray[np.uint8]:
        return random.integers(0, 256, (*shape, 3), dtype=np.uint8)

    clips = tuple(Clip(f"clip-{index}", frames(24, 180, 320)) for index in range(4))
    return Library(clips, (), tuple(frames(300, 400) for _ in range(4)))


def _config(preset: str, *, tiny: bool) -> TrainingConfig:
    return PRESETS[preset].override(TINY) if tiny else PRESETS[preset]
