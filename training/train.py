"""The training loop, read from top to bottom: `train` makes a run, `advance` a step, the rest are parts.

A step is drawn (data.py), unrolled and judged (objective.py) and applied. State goes to `out/state`
(state.py), the story to `out` (journal.py). Not here: arguments (__main__.py), scores on benchmarks
(evaluate.py); a run watches held-out clips of its own and never sees Vid4.
"""

import contextlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Adam

from model_core.model import Model, build
from training.config import TrainingConfig
from training.data import Batch, Sampler, Sequence, prefetch, validation_sequences
from training.initial import load_initial
from training.journal import Bar, Journal
from training.objective import Objective, total
from training.processes import Processes, join_processes, stop_on_signal
from training.schedule import Schedule
from training.sources import Library
from training.state import Learner, Progress, has_state, load_state, save_state
from training.validate import validation_psnr

NOTE_EVERY: Final = 50  # steps
ENDING_S: Final = 2.0  # kept for the last state and the curves, which must be on disk before a deadline
TIMED_STEPS: Final = 2  # of each precision, after one to warm up


class TrainingDivergedError(Exception):
    """A loss or gradient is not finite; the last good state is on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When this run (not the training) ends.

    ends_at   of time.monotonic(); state and curves are on disk by then
    steps     after so many; None for no such limit
    """

    ends_at: float = math.inf
    steps: int | None = None
    save_every_s: float = 60.0


def train(
    config: TrainingConfig, library: Library, out: Path, limits: Limits, *, init: Path | None = None
) -> Progress:
    """Begin or go on with a training in `out`; returns where it stands. Raises TrainingDivergedError."""
    processes = join_processes()
    cv2.setNumThreads(1)  # the loader's thread must not take the cores from the network
    learner = begin(config, out / "state", init, processes.device)
    progress, schedule = learner.progress, Schedule(config, learner.progress)
    steps_end = progress.step + limits.steps if limits.steps is not None else math.inf
    objective = Objective(learner.model, config)
    sampler = Sampler(library, config)
    autocast = choose_autocast(config, objective, sampler, processes)
    watch = Watch(config, library, out, processes.device, autocast=autocast) if processes.rank == 0 else None
    judged = DistributedDataParallel(objective) if processes.count > 1 else objective

    def draw(step: int) -> Batch:
        return sampler.batch(step, schedule.shape(step), rank=processes.rank, ranks=processes.count)

    step_s, saved_at = 0.0, time.monotonic()
    with stop_on_signal() as stopped, contextlib.closing(prefetch(draw, progress.step)) as batches:
        while not schedule.is_over():
            late = time.monotonic() + 2 * step_s + ENDING_S > limits.ends_at
            if processes.any(late or bool(stopped) or progress.step >= steps_end):
                break
            began = time.monotonic()
            batch = next(batches)
            waited_s = time.monotonic() - began
            rate = schedule.learning_rate()
            facts = advance(learner, judged, batch.to(processes.device), config, rate, autocast=autocast)
            step_s = processes.slowest(time.monotonic() - began)
            progress.seconds += step_s
            if watch:
                watch.note(schedule, {**facts, "learning_rate": rate, "step_s": step_s, "waited_s": waited_s})
                if time.monotonic() - saved_at > limits.save_every_s:
                    save_state(out / "state", config, learner)
                    saved_at = time.monotonic()
                if progress.step % config.validate_every == 0:
                    watch.validate(learner)
    if watch:
        save_state(out / "state", config, learner)
        watch.draw()
    return progress


def advance(
    learner: Learner,
    objective: nn.Module,
    batch: Batch,
    config: TrainingConfig,
    rate: float,
    *,
    autocast: bool,
) -> dict[str, Tensor]:
    """One step: losses, gradient, Adam, average. Returns what is worth noting, as tensors not yet read."""
    for group in learner.adam.param_groups:
        group["lr"] = rate
    with torch.autocast(batch.low.device.type, torch.bfloat16, enabled=autocast):
        losses = objective(batch.low, batch.target, batch.flow)
    loss = total(losses, config)
    learner.adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = nn.utils.clip_grad_norm_(learner.adam.param_groups[0]["params"], config.clip_norm)
    if not (torch.isfinite(loss) and torch.isfinite(gradient)):
        raise TrainingDivergedError(
            f"step {learner.progress.step}: loss {loss.item()}, gradient {gradient.item()}"
        )
    learner.adam.step()
    # Early averages would remember the random start; they forget faster.
    step = learner.progress.step
    update_average(learner.ema, learner.model, min(config.ema_decay, (1 + step) / (10 + step)))
    learner.progress.step += 1
    noted = {"loss": loss, **losses, "gradient": gradient}
    return {name: value.detach() for name, value in noted.items()}


def begin(config: TrainingConfig, state: Path, init: Path | None, device: torch.device) -> Learner:
    """The state on disk, or a fresh start from random or given weights."""
    torch.manual_seed(config.seed)  # for fresh weights; nothing after this draws from it
    model = build(config.model_config()).to(device)
    trained = model.flow_net if config.task == "flow" else model
    assert trained is not None
    adam = Adam(trained.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    if init is not None and not has_state(state):
        load_initial(model, init)
    ema = {name: value.detach().clone() for name, value in model.state_dict().items()}
    learner = Learner(model, adam, ema)
    if has_state(state):
        load_state(state, learner)
    return learner


def update_average(ema: dict[str, Tensor], model: Model, decay: float) -> None:
    current = model.state_dict()
    torch._foreach_lerp_(list(ema.values()), [current[name] for name in ema], 1 - decay)


def choose_autocast(
    config: TrainingConfig, objective: Objective, sampler: Sampler, processes: Processes
) -> bool:
    """Whether bf16 autocast is faster here: measured, since only some processors have the units for it."""
    if config.precision != "auto":
        return config.precision == "bf16"
    batch = sampler.batch(0, config.shape_at(0.0), ranks=processes.count).to(processes.device)
    took_s: dict[bool, float] = {}
    for enabled in (False, True):
        for _ in range(1 + TIMED_STEPS):
            began = time.monotonic()
            with torch.autocast(processes.device.type, torch.bfloat16, enabled=enabled):
                losses = objective(batch.low, batch.target, batch.flow)
            total(losses, config).backward()  # type: ignore[no-untyped-call]
            if processes.device.type == "cuda":
                torch.cuda.synchronize()
            took_s[enabled] = min(time.monotonic() - began, took_s.get(enabled, math.inf))
    objective.zero_grad()
    return processes.decided_by_first(took_s[True] < took_s[False])


class Watch:
    """What the first process tells and checks, while all of them train."""

    def __init__(
        self, config: TrainingConfig, library: Library, out: Path, device: torch.device, *, autocast: bool
    ) -> None:
        self._config, self._device, self._autocast = config, device, autocast
        self._sequences: list[Sequence] = []
        if config.task == "frvsr":
            self._sequences = validation_sequences(library, config.protocol)
        self._journal = Journal(out)
        self._bar = Bar(config.task)
        self._first = True
        self._journal.note(0, event="run_started", autocast=autocast, config=config.to_json())

    def note(self, schedule: Schedule, facts: dict[str, Tensor | float]) -> None:
        self._bar.update(schedule.part())
        if self._first or schedule.step % NOTE_EVERY == 0:
            values = {name: float(value) for name, value in facts.items()}
            self._journal.note(schedule.step, **values, seconds=schedule.seconds)
        self._first = False

    def validate(self, learner: Learner) -> None:
        """Write the averaged model's PSNR on the held-out clips into the journal."""
        if not self._sequences:
            return
        model = build(self._config.model_config()).to(self._device).eval()
        model.load_state_dict(learner.ema)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            psnr_db, sample = validation_psnr(model, self._sequences)
        step = learner.progress.step
        self._journal.note(step, psnr_db=psnr_db, seconds=learner.progress.seconds)
        self._journal.show(step, "sample", sample)
        self.draw()

    def draw(self) -> None:
        self._journal.draw()
