"""The training loop, read from top to bottom: one function makes a run, the ones below it are its parts.

A step is drawn (data.py), unrolled (model_core.recurrence), judged (losses.py) and applied. State goes to
`out/state` (state.py), the story to `out` (journal.py). Not here: arguments (__main__.py), scores on
benchmarks (evaluate.py); a run watches held-out clips of its own and never sees Vid4.
"""

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Adam

from model_core.model import Model, build
from model_core.recurrence import estimate_flow, unroll
from training.config import TrainingConfig
from training.data import Batch, Sampler, Sequence, prefetch, validation_sequences
from training.initial import load_initial
from training.journal import Journal
from training.losses import charbonnier, robust_end_point, warping
from training.sources import Library
from training.state import Progress, has_state, load_state, save_state
from training.validate import validation_psnr

FINAL_RATE: Final = 0.01  # of the peak, at the end of the cosine
NOTE_EVERY: Final = 50  # steps
TIMED_STEPS: Final = 2  # of each precision, after one to warm up


class TrainingDivergedError(Exception):
    """A loss or gradient is not finite; the last good state is on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When this run (not the training) ends: after so many seconds from `started`, or steps; None is never."""

    seconds: float | None = None
    steps: int | None = None
    save_every_s: float = 60.0


def train(config: TrainingConfig, library: Library, out: Path, limits: Limits, *, init: Path | None = None) -> Progress:
    """Begin or go on with a training in `out`; returns where it stands. Raises TrainingDivergedError."""
    ends_at = time.monotonic() + limits.seconds if limits.seconds else math.inf
    rank, ranks, device = join_processes()
    cv2.setNumThreads(1)  # the loader's thread must not take the cores from the network
    torch.manual_seed(config.seed)  # fresh weights; nothing after this draws from it

    model = build(config.model_config()).to(device)
    if init is not None:
        load_initial(model, init)
    trained = model.flow_net if config.task == "flow" else model
    assert trained is not None
    adam = Adam(trained.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    ema = {name: value.detach().clone() for name, value in model.state_dict().items()}
    progress = load_state(out / "state", model, ema, adam) if has_state(out / "state") else Progress()
    objective = Objective(model, config)
    parallel = DistributedDataParallel(objective) if ranks > 1 else objective

    sampler = Sampler(library, config)
    checks = validation_sequences(library, config.protocol) if rank == 0 else []
    journal = Journal(out) if rank == 0 else None
    autocast = choose_autocast(config, objective, sampler, device, ranks)
    if journal:
        journal.note(progress.step, event="run_started", autocast=autocast, config=config.to_json(), ranks=ranks)

    schedule = Schedule(config, progress)
    batches = prefetch(
        lambda step: sampler.batch(step, schedule.shape(step), rank=rank, ranks=ranks), progress.step
    )
    bar = progress_bar(config)
    first_step, saved_at, step_s = progress.step, time.monotonic(), 0.0
    with stop_on_signal() as stopped, contextlib.closing(batches):
        while not schedule.is_over():
            last = limits.steps is not None and progress.step - first_step >= limits.steps
            if any_rank(last or bool(stopped) or time.monotonic() + 2 * step_s > ends_at, ranks):
                break
            began = time.monotonic()
            batch = next(batches)
            waited_s = time.monotonic() - began

            rate = schedule.learning_rate()
            for group in adam.param_groups:
                group["lr"] = rate
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                losses = parallel(*(x if x is None else x.to(device) for x in (batch.low, batch.target, batch.flow)))
            loss = sum(weight * losses[name] for name, weight in weights(config).items())
            adam.zero_grad()
            loss.backward()
            gradient = nn.utils.clip_grad_norm_(trained.parameters(), config.clip_norm)
            if not (torch.isfinite(loss) and torch.isfinite(gradient)):
                raise TrainingDivergedError(f"step {progress.step}: loss {loss.item()}, gradient {gradient.item()}")
            adam.step()
            update_average(ema, model, min(config.ema_decay, (1 + progress.step) / (10 + progress.step)))

            progress.step += 1
            step_s = slowest(time.monotonic() - began, ranks)
            progress.seconds += step_s
            bar.update(schedule)
            if journal and (progress.step % NOTE_EVERY == 0 or progress.step == first_step + 1):
                parts = {name: value.item() for name, value in losses.items()}
                journal.note(
                    progress.step, loss=loss.item(), **parts, gradient=gradient.item(), learning_rate=rate,
                    step_s=round(step_s, 4), waited_s=round(waited_s, 4), seconds=round(progress.seconds, 1),
                )  # fmt: skip
            if rank == 0 and time.monotonic() - saved_at > limits.save_every_s:
                save_state(out / "state", config, progress, model, ema, adam)
                saved_at = time.monotonic()
            if journal and progress.step % config.validate_every == 0:
                validate(config, journal, progress, ema, checks, device, autocast=autocast)
    if rank == 0 and journal:
        save_state(out / "state", config, progress, model, ema, adam)
        if progress.step % config.validate_every:
            validate(config, journal, progress, ema, checks, device, autocast=autocast)
        journal.draw()
    return progress


class Objective(nn.Module):
    """The losses of one batch by name, unweighted; a module, so that DDP can wrap what is differentiated."""

    def __init__(self, model: Model, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self._config = config

    def forward(self, low: Tensor, target: Tensor, flow: Tensor | None) -> dict[str, Tensor]:
        """low (N, T, 3, h, w), target (N, T, 3, H, W), flow (N, T-1, 2, h, w) from the data or None."""
        count, length, _, height, width = low.shape
        previous, current = low[:, :-1].flatten(0, 1), low[:, 1:].flatten(0, 1)
        if self._config.task == "flow":
            assert flow is not None, "flow is learned where it is known"
            return {"end_point": robust_end_point(estimate_flow(self.model, previous, current), flow.flatten(0, 1))}
        losses: dict[str, Tensor] = {}
        if self.model.flow_net is not None:
            estimated = estimate_flow(self.model, previous, current)
            losses["warp"] = warping(previous, current, estimated)
            flow = estimated.view(count, length - 1, 2, height, width)
        return {"pixel": charbonnier(unroll(self.model, low, flow), target), **losses}


def weights(config: TrainingConfig) -> dict[str, float]:
    """The one place where losses are weighed against each other."""
    if config.task == "flow":
        return {"end_point": 1.0}
    if config.flow == "dis":
        return {"pixel": config.pixel_weight}
    return {"pixel": config.pixel_weight, "warp": config.warp_weight}


class Schedule:
    """Learning rate and clip shape from the part of the schedule that is done."""

    def __init__(self, config: TrainingConfig, progress: Progress) -> None:
        self._config, self._progress = config, progress

    def part(self) -> float:
        """0 at the start, 1 at the end; by steps or by seconds spent, whichever measures the length."""
        if self._config.iterations:
            return min(1.0, self._progress.step / self._config.iterations)
        return min(1.0, self._progress.seconds / self._config.seconds)

    def is_over(self) -> bool:
        return self.part() >= 1.0

    def shape(self, step: int) -> tuple[int, int, int]:
        """Of that step's batch; by seconds it is drawn a little ahead, and that little does not matter."""
        ahead = step / self._config.iterations if self._config.iterations else self.part()
        return self._config.shape_at(ahead)

    def learning_rate(self) -> float:
        cosine = (1 + math.cos(math.pi * self.part())) / 2
        warm = min(1.0, (self._progress.step + 1) / max(1, self._config.warmup_iterations))
        return self._config.learning_rate * warm * (FINAL_RATE + (1 - FINAL_RATE) * cosine)


def update_average(ema: dict[str, Tensor], model: Model, decay: float) -> None:
    current = model.state_dict()
    torch._foreach_lerp_(list(ema.values()), [current[name] for name in ema], 1 - decay)


def join_processes() -> tuple[int, int, torch.device]:
    """(rank, ranks, device); under torchrun the group that its environment describes."""
    if "RANK" not in os.environ:
        return 0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return dist.get_rank(), dist.get_world_size(), torch.device(f"cuda:{local}" if torch.cuda.is_available() else "cpu")


def slowest(value: float, ranks: int) -> float:
    """The largest of all processes' values: they must agree on time, or their schedules part."""
    if ranks == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    if dist.get_backend() == "nccl":
        shared = shared.cuda()
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return float(shared.item())


def any_rank(stopping: bool, ranks: int) -> bool:
    """Whether any process wants to stop: one that stopped alone would leave the others waiting for ever."""
    return slowest(float(stopping), ranks) > 0


def choose_autocast(
    config: TrainingConfig, objective: Objective, sampler: Sampler, device: torch.device, ranks: int
) -> bool:
    """Whether bf16 autocast is faster here: measured, since only some processors have the units for it."""
    if config.precision != "auto":
        return config.precision == "bf16"
    batch = sampler.batch(0, config.shape_at(0.0), ranks=ranks)
    low, target, flow = (x if x is None else x.to(device) for x in (batch.low, batch.target, batch.flow))
    took_s = {}
    for enabled in (False, True):
        for _ in range(1 + TIMED_STEPS):
            began = time.monotonic()
            with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
                loss = torch.stack(list(objective(low, target, flow).values())).sum()
            loss.backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            took_s[enabled] = min(time.monotonic() - began, took_s.get(enabled, math.inf))
    objective.zero_grad()
    faster = torch.tensor(float(took_s[True] < took_s[False]), device=device)
    if dist.is_initialized():
        dist.broadcast(faster, 0)  # all ranks must agree
    return bool(faster.item())


def validate(
    config: TrainingConfig, journal: Journal, progress: Progress, ema: dict[str, Tensor],
    checks: list[Sequence], device: torch.device, *, autocast: bool,
) -> None:  # fmt: skip
    """Write the averaged model's PSNR on the held-out clips into the journal."""
    if config.task == "flow" or not checks:
        return
    model = build(config.model_config()).to(device).eval()
    model.load_state_dict(ema)
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        psnr_db, sample = validation_psnr(model, checks)
    journal.note(progress.step, psnr_db=round(psnr_db, 4), seconds=round(progress.seconds, 1))
    journal.show(progress.step, "sample", sample)
    journal.draw()


@contextlib.contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """The yielded list is no longer empty once the process was asked to end: finish the step, save, leave."""
    caught: list[int] = []
    previous = {}
    with contextlib.suppress(ValueError):  # only the main thread may handle signals
        for name in (signal.SIGTERM, signal.SIGINT):
            previous[name] = signal.signal(name, lambda number, _: caught.append(number))
    try:
        yield caught
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)


class progress_bar:  # noqa: N801 (reads as the function it stands for)
    """Per cent of the schedule with the time left, by tqdm where it is installed and someone watches."""

    def __init__(self, config: TrainingConfig) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm  # noqa: PLC0415 (optional)

                self._bar = tqdm(total=100.0, unit="%", desc=config.task, bar_format="{l_bar}{bar}| {elapsed}<{remaining}")

    def update(self, schedule: Schedule) -> None:
        if self._bar is not None:
            self._bar.n = 100 * schedule.part()
            self._bar.refresh()
