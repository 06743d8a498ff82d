"""The training loop, read from top to bottom: `train` makes a run, the rest begin it.

What a step does stands in step.py, what it learns from is drawn by data/sampler.py. State goes to `out/state`
(state.py), the story to `out` (journal.py). Not here: arguments (__main__.py), scores on
benchmarks (evaluate.py); a run watches held-out clips of its own and never sees Vid4.
"""

import contextlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import torch

from model_core.discriminator import CHANNELS, PICTURE_CHANNELS, Discriminator
from model_core.model import build
from training.config import ConfigError, TrainingConfig
from training.data.batches import Batch
from training.data.sampler import Sampler, prefetch
from training.data.sources import Library
from training.losses.perceptual import Lpips, Vgg16, has_lpips
from training.run.journal import Watch
from training.run.optimisers import make_optimisers
from training.run.processes import Processes, join_processes, stop_on_signal
from training.run.schedule import Schedule
from training.run.state import Learner, Progress, has_state, load_critic, load_state, save_state
from training.run.step import Step, find_losses, weighed_sum
from training.weights.initial import load_initial

ENDING_S: Final = 2.0  # kept for the last state and the curves, which must be on disk before a deadline
TIMED_STEPS: Final = 2  # of each precision, after one to warm up


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
    config: TrainingConfig,
    library: Library,
    out: Path,
    limits: Limits,
    *,
    init: Path | None = None,
    init_critic: Path | None = None,
    branch_of: Path | None = None,
    perceptual: Path | None = None,
) -> Progress:
    """Begin or go on with a training in `out`; returns where it stands. Raises TrainingDivergedError.

    init         weights for a fresh start
    init_critic  folder of another training's state, whose D a fresh start takes
    branch_of    folder of another training's state, from which a fresh start goes on, optimisers included,
                 while its own schedule begins
    perceptual   folder of VGG16's weights, which vgg_weight needs, and of LPIPS's, which then scores as well
    """
    processes = join_processes()
    cv2.setNumThreads(1)  # the loader's thread must not take the cores from the network
    learner = begin(
        config, out / "state", init, processes.device, init_critic=init_critic, branch_of=branch_of
    )
    progress, schedule = learner.progress, Schedule(config.schedule, learner.progress)
    steps_end = progress.step + limits.steps if limits.steps is not None else math.inf
    vgg = (
        Vgg16(perceptual, processes.device, config.losses.vgg_distance) if config.losses.vgg_weight else None
    )
    sampler = Sampler(library, config, processes.device)
    autocast = choose_autocast(config, learner, vgg, sampler, processes)
    watch = None
    if processes.rank == 0:
        lpips = Lpips(perceptual, processes.device) if perceptual and has_lpips(perceptual) else None
        watch = Watch(config, library, out, lpips, progress, autocast=autocast)
    take_step = Step(learner, config, processes, vgg=vgg, autocast=autocast)

    def draw(step: int) -> Batch:
        return sampler.batch(step, config.data.shape_of(step), rank=processes.rank, ranks=processes.count)

    step_s, saved_at = 0.0, time.monotonic()
    with stop_on_signal() as stopped, contextlib.closing(prefetch(draw, progress.step)) as batches:
        while not schedule.is_over():
            late = time.monotonic() + 2 * step_s + ENDING_S > limits.ends_at
            if processes.any(late or bool(stopped) or progress.step >= steps_end):
                break
            began, core_began = time.monotonic(), time.process_time()
            batch = next(batches)
            waited_s = time.monotonic() - began
            rate = schedule.learning_rate()
            facts = take_step(batch, rate)
            step_s = processes.slowest(time.monotonic() - began)
            progress.seconds += step_s
            progress.core_seconds += processes.count * (time.process_time() - core_began)
            progress.pixels += processes.count * batch.low.numel() // 3
            if watch:
                watch.note(schedule, {**facts, "learning_rate": rate, "step_s": step_s, "waited_s": waited_s})
                if time.monotonic() - saved_at > limits.save_every_s:
                    save_state(out / "state", config, learner)
                    saved_at = time.monotonic()
                fits = time.monotonic() + watch.validation_s + ENDING_S < limits.ends_at
                if progress.step % config.validate_every == 0 and fits:
                    watch.validate(learner)
    if watch:
        save_state(out / "state", config, learner)
        watch.draw()
    return progress


def begin(
    config: TrainingConfig,
    state: Path,
    init: Path | None,
    device: torch.device,
    *,
    init_critic: Path | None = None,
    branch_of: Path | None = None,
) -> Learner:
    """The state on disk, or a fresh start from random or given weights."""
    if init_critic is not None and not config.losses.gan_weight:
        raise ConfigError(f"gan_weight is 0: there is no D to begin with that of {init_critic}")
    torch.manual_seed(config.seed)  # for fresh weights; nothing after this draws from it
    model = build(config.model).to(device)
    trained = model.flow_net if config.task == "flow" else model
    assert trained is not None
    optimisers = make_optimisers(trained, config.schedule.optimiser)
    if init is not None and not has_state(state):
        load_initial(model, init)
    ema = {name: value.detach().clone() for name, value in model.state_dict().items()}
    learner = Learner(model, optimisers, ema)
    if config.losses.gan_weight:
        channels = CHANNELS if config.model.recurrent else PICTURE_CHANNELS
        learner.critic = Discriminator(channels=channels).to(device)
        if init_critic is not None and not has_state(state):
            load_critic(init_critic, learner.critic)
        of_critic = make_optimisers(learner.critic, "adam")
        learner.critic_optimisers = {f"critic_{name}": each for name, each in of_critic.items()}
    if has_state(state):
        load_state(state, learner)
    elif branch_of is not None:
        load_state(branch_of, learner)
        progress = learner.progress
        progress.branch_step, progress.branch_seconds = progress.step, progress.seconds
    return learner


def choose_autocast(
    config: TrainingConfig, learner: Learner, vgg: Vgg16 | None, sampler: Sampler, processes: Processes
) -> bool:
    """Whether bf16 autocast is faster here: measured, since only some processors have the units for it."""
    if config.precision != "auto":
        return config.precision == "bf16"
    batch = sampler.batch(0, config.data.shape_of(0), ranks=processes.count)
    took_s: dict[bool, float] = {}
    for enabled in (False, True):
        for _ in range(1 + TIMED_STEPS):
            began = time.monotonic()
            with torch.autocast(processes.device.type, torch.bfloat16, enabled=enabled):
                losses, _ = find_losses(learner.model, batch, config, critic=learner.critic, vgg=vgg)
            weighed_sum(losses, config.losses).backward()  # type: ignore[no-untyped-call]
            if processes.device.type == "cuda":
                torch.cuda.synchronize()
            took_s[enabled] = min(time.monotonic() - began, took_s.get(enabled, math.inf))
    learner.model.zero_grad()
    return processes.decided_by_first(took_s[True] < took_s[False])
