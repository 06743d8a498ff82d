"""Precision: the number formats a backend computes in, and the choice between them on this machine.

A narrower format is chosen when it is faster here and costs less than LOSS_DB_MAX of PSNR. The loss that was
measured when the model was published stands in its card (`{"precision_loss_db": {"bfloat16": 0.01}}`) and
decides; for a model without that entry it is bounded by the difference between the formats on a short moving
test picture. Not here: how a format is used (torch.py).
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch

from worker.engine.backends.base import Backend, Flow, Turn
from worker.frames import HighFrame, LowFrame

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES: Final[dict[Precision, torch.dtype]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

LOSS_DB_MAX = 0.05
# Of the reconstruction that is spoilt; the better it is, the more a small error takes. Ours reach 26 on Vid4.
ASSUMED_PSNR_DB = 30.0
# Machines with the instructions gain 1.8 times and more, those without lose: in between no choice wavers.
SPEEDUP_MIN = 1.2
TRIAL_FRAMES = 6
TRIAL_SHAPE = (72, 96)  # large enough that the convolutions, and not their start, take the time


@dataclass(frozen=True, slots=True)
class Choice:
    precision: Precision
    reason: str  # for the log and the job's report


def choose(make_backend: Callable[[Precision], Backend], device_type: str, card: Mapping[str, Any]) -> Choice:
    """Time the wide and the narrow format of this device on the same frames and pick one."""
    narrow: Precision = "float16" if device_type == "cuda" else "bfloat16"
    backends = [make_backend("float32"), make_backend(narrow)]
    if backends[0].config.generator == "bicubic":
        return Choice("float32", "there is no network to run in another format")
    # Without memory a stream shows no more than its first frame, and the networks for pictures are slow.
    frame_count = TRIAL_FRAMES if backends[0].config.recurrent else 1
    frames, flow = moving_picture(TRIAL_SHAPE, frame_count)
    with _steady_clock(device_type) as clock:
        for backend in backends:
            _run(backend, frames[:2], flow, clock)  # the first calls build kernels
        rounds = [[_run(backend, frames, flow, clock) for backend in backends] for _ in range(2)]
    (_, wide), (_, narrowed) = rounds[0]
    wide_s, narrow_s = (min(seconds for seconds, _ in column) for column in zip(*rounds, strict=True))
    if wide_s < narrow_s * SPEEDUP_MIN:
        return Choice("float32", f"{narrow} is {wide_s / narrow_s:.2f} times as fast here")
    measured = card.get("precision_loss_db", {}).get(narrow)
    if wide is None or narrowed is None:
        return Choice("float32", f"{narrow} gives numbers that are not finite")
    loss_db = loss_bound_db(wide, narrowed) if measured is None else float(measured)
    source = "bounded by a trial" if measured is None else "measured at publishing"
    if loss_db >= LOSS_DB_MAX:
        return Choice("float32", f"{narrow} would cost {loss_db:.3f} dB, {source}")
    return Choice(narrow, f"{wide_s / narrow_s:.1f} times faster here for {loss_db:.3f} dB, {source}")


@contextmanager
def _steady_clock(device_type: str) -> Iterator[Callable[[], float]]:
    """A clock that other work on the machine doesn't speed or slow: on a CPU this thread's time, with torch
    on this thread alone, because threads that wait for each other spin."""
    if device_type != "cpu":
        yield time.perf_counter
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield time.thread_time
    finally:
        torch.set_num_threads(threads)


def loss_bound_db(wide: HighFrame, narrowed: HighFrame) -> float:
    """What the difference between two outputs would take from a reconstruction of ASSUMED_PSNR_DB.

    An error of its own kind adds to the mean square: 10 log10(1 + difference / error).
    """
    difference = float(np.mean(np.square(wide.astype(np.float64) - narrowed)))
    error = 255.0**2 / 10 ** (ASSUMED_PSNR_DB / 10)
    return 10 * math.log10(1 + difference / error)


def moving_picture(shape: tuple[int, int], frame_count: int) -> tuple[list[LowFrame], Flow]:
    """Seeded soft noise that moves one pixel to the right a frame, and the flow that says so."""
    height, width = shape
    noise = np.random.default_rng(7).uniform(size=(height + 2, width + frame_count + 2, 3))
    soft = (
        noise[1:-1, 1:-1] * 2 + noise[:-2, 1:-1] + noise[2:, 1:-1] + noise[1:-1, :-2] + noise[1:-1, 2:]
    ) / 6
    levels = np.round(soft * 255).astype(np.uint8)
    frames = [
        np.ascontiguousarray(levels[:, frame_count - t : frame_count - t + width]) for t in range(frame_count)
    ]
    flow = np.zeros((2, height, width), np.float32)
    flow[0] = -1  # a pixel was one to the left
    return frames, flow


def _run(
    backend: Backend, frames: Sequence[LowFrame], flow: Flow, clock: Callable[[], float]
) -> tuple[float, HighFrame | None]:
    """Seconds for one stream over `frames`, and its last output; None where it is not finite."""
    started = clock()
    state = backend.start(frames[0], None)
    output: HighFrame | None = None
    for index, frame in enumerate(frames):
        known: Flow | None = None
        if index and backend.config.flow_comes_along:
            known = flow
        elif index and backend.config.recurrent:
            known = backend.flows([frames[index - 1]], [frame])[0]
        ahead = frames[index + 1] if index + 1 < len(frames) else None
        [stepped] = backend.step([Turn(state, frame, known, ahead)])
        state, output = stepped.state, stepped.output
    return clock() - started, output
