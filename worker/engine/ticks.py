"""Ticks: one batch of streams, run on the backend, its outputs delivered or its streams failed one by one.

On the engine's thread. Not here: who advances (scheduler.py), when (engine.py). Start at `Runner.run`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from service.errors import FrameTooLarge, OutputInvalid, UpscaleError
from worker.engine.backends.base import Backend, Flow, Stepped, Turn
from worker.engine.fitting import Fitting
from worker.engine.scheduler import Shape
from worker.engine.stream import Stream, Waiting
from worker.frames import LowFrame

Stage = Literal["flow", "generator"]


@dataclass(frozen=True, slots=True)
class Tick:
    """What a decision means in frames: gathered under the lock, run without it."""

    shape: Shape
    flows: list[tuple[Stream, LowFrame, Waiting]]  # with the frame before
    step: list[tuple[Stream, Waiting, LowFrame | None]]  # with the frame that follows


class Runner:
    """Runs ticks on a backend; a stream's queues are touched under `lock`. The rest is told as by Engine."""

    def __init__(
        self,
        backend: Backend,
        fitting: Fitting,
        lock: threading.Lock,
        *,
        on_batch: Callable[[int], None] | None,
        on_stage: Callable[[Stage, float], None] | None,
    ) -> None:
        self._backend, self._fitting, self._lock = backend, fitting, lock
        self._on_batch, self._on_stage = on_batch, on_stage

    def run(self, tick: Tick) -> None:
        """Compute the flows, then advance each stream by a frame and deliver its output, or fail it alone."""
        started = time.monotonic()
        if tick.flows:
            flows = self._fitting.run(self._flows, tick.flows, tick.shape)
            for (stream, _, waiting), flow in zip(tick.flows, flows, strict=True):
                if isinstance(flow, FrameTooLarge):
                    self._fail(stream, flow)
                else:
                    waiting.flow, waiting.needs_flow = flow, False
            self._report_stage("flow", time.monotonic() - started)
            started = time.monotonic()
        advancing = [part for part in tick.step if self._has_begun(*part)]
        if not advancing:
            return
        results = self._fitting.run(self._step, advancing, tick.shape)
        seconds = time.monotonic() - started
        self._report_stage("generator", seconds)
        for (stream, _, _), result in zip(advancing, results, strict=True):
            if isinstance(result, FrameTooLarge):
                self._fail(stream, result)
            elif result.output is None:
                self._fail(stream, OutputInvalid("the network's output is not finite"))
            else:
                with self._lock:
                    stream.deliver(result, seconds / len(results))
        if self._on_batch is not None:
            self._on_batch(len(advancing))

    def _flows(self, wanted: Sequence[tuple[Stream, LowFrame, Waiting]]) -> list[Flow]:
        previous = [before for _, before, _ in wanted]
        frames = [waiting.frame for _, _, waiting in wanted]
        with self._backend.pace.call(_pixels(frames)):
            return self._backend.flows(previous, frames)

    def _has_begun(self, stream: Stream, waiting: Waiting, _ahead: LowFrame | None) -> bool:
        """Give the stream its first state, if it has none; False where it is broken or that does not fit."""
        if stream.state is None and not stream.is_broken:
            [state] = self._fitting.run(
                lambda _: [self._backend.start(waiting.frame, stream.resume)], [stream], stream.shape
            )
            if isinstance(state, FrameTooLarge):
                self._fail(stream, state)
            else:
                stream.state = state
        return not stream.is_broken

    def _step(self, advancing: Sequence[tuple[Stream, Waiting, LowFrame | None]]) -> list[Stepped]:
        turns = [
            Turn(stream.state, waiting.frame, waiting.flow, ahead, waiting.keeps_state, stream.yuv)
            for stream, waiting, ahead in advancing
        ]
        with self._backend.pace.call(_pixels([turn.frame for turn in turns])):
            return self._backend.step(turns)

    def _fail(self, stream: Stream, error: UpscaleError) -> None:
        with self._lock:
            stream.fail(error)

    def _report_stage(self, stage: Stage, seconds: float) -> None:
        if self._on_stage is not None:
            self._on_stage(stage, seconds)


def _pixels(frames: Sequence[LowFrame]) -> int:
    return sum(frame.size // 3 for frame in frames)
