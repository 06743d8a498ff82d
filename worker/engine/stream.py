"""Stream: one run of the recurrence as its caller holds it, with a bounded queue on either side.

Not here: the engine's loop (engine.py) and what runs the network (backends/). Callers use the first
half; the second half is for the engine, which calls it with its lock held.
"""

from collections import deque
from dataclasses import dataclass
from threading import Condition, Lock
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from model_core.config import SCALE, ModelConfig
from service.errors import OutputInvalid, UpscaleError
from worker.engine.backends.base import Flow, Kept, Snapshot, Stepped
from worker.engine.blending import blended
from worker.engine.scheduler import Shape, Slot
from worker.frames import HighFrame, LowFrame, YuvFrame
from worker.yuv import Yuv420

_SAMPLES: Final = {1: np.dtype(np.uint8), 2: np.dtype(np.uint16)}  # by their bytes


class StreamClosed(Exception):
    """The stream, or its engine, was closed by someone on this side; nothing is wrong with the frames."""


@dataclass(slots=True)
class Waiting:
    """One frame on its way in."""

    frame: LowFrame
    flow: Flow | None  # None: zero, or still to be computed
    needs_flow: bool
    keeps_state: bool
    is_shown: bool


class Stream:
    """Made by Engine.open. One thread puts and one gets; any may close."""

    def __init__(
        self,
        key: int,
        shape: Shape,
        *,
        config: ModelConfig,
        yuv: Yuv420 | None,
        queue_frames: int,
        strength: float,
        resume: Snapshot | None,
        lock: Lock,
        work: Condition,
    ) -> None:
        self.key = key
        self.shape = shape
        self.yuv = yuv
        self._config = config
        self._queue_frames = queue_frames
        self._strength = strength
        self._work = work  # tells the engine that this stream may have become ready
        self._room = Condition(lock)  # tells `put`
        self._ready = Condition(lock)  # tells `get`
        self._waiting: deque[Waiting] = deque()
        self._outputs: deque[tuple[HighFrame | YuvFrame, LowFrame]] = deque()  # with what each is of
        self.shown: LowFrame | None = None  # what the output that `get` gave last is of
        self._snapshots: deque[Snapshot] = deque()
        self._ended = False
        self._error: UpscaleError | StreamClosed | None = None
        self._fresh = resume is None  # no frame was put yet, so none can have a flow
        # The engine's own, between ticks:
        self.state: Kept | None = None
        self.resume = resume
        self.last_frame: LowFrame | None = None if resume is None else resume.frame
        self.waited_ticks = 0
        self._busy_s = 0.0

    def put(
        self,
        frame: LowFrame,
        flow: NDArray[np.float32] | None = None,
        *,
        keep_state: bool = False,
        is_shown: bool = True,
    ) -> None:
        """Give the next frame; blocks while `queue_frames` can run.

        frame        (h, w, 3) uint8 RGB, or uint16 of a deep stream; kept, so don't write into it afterwards
        flow         (2, h, w) float32, with every frame but the first of a fresh stream where the model takes
                     its flow ready made, never otherwise
        keep_state   after this frame the state is rounded to whole levels and kept for `take_snapshot`: the
                     end of a segment, from which another stream can go on just as this one will
        is_shown     whether `get` gives its output; otherwise it only fills the state
        Raises       what broke the stream or the engine; OutputInvalid for a frame or flow that does not fit,
                     which breaks this stream; StreamClosed
        """
        frame = np.ascontiguousarray(frame)
        misfit = self._misfit(frame, flow)
        with self._room:
            if misfit is not None:
                self.fail(OutputInvalid(misfit))
            while self._error is None and self._runnable >= self._queue_frames:
                self._room.wait()
            if self._error is not None:
                raise self._error
            assert not self._ended, "no frame may follow end()"
            by_network = self._config.recurrent and not self._config.flow_comes_along
            needs_flow = by_network and not self._fresh
            self._waiting.append(Waiting(frame, flow, needs_flow, keep_state, is_shown))
            self._fresh = False
            self._work.notify()

    def end(self) -> None:
        """No more frames will come; `get` gives what is left and then None."""
        with self._room:
            self._ended = True
            self._ready.notify_all()
            self._work.notify()

    def get(self) -> HighFrame | YuvFrame | None:
        """The next output in order: (H, W, 3) of samples as the frames have, or YUV where the stream was
        opened for it and the frame was not put with `keep_state`. None after the last.

        Blended here, by the caller's thread: the device has others to serve. Raises as `put` does.
        """
        with self._ready:
            while self._error is None and not self._outputs and not self.is_finished:
                self._ready.wait()
            if self._error is not None:
                raise self._error
            if not self._outputs:
                return None
            self._work.notify()
            high, self.shown = self._outputs.popleft()
        return blended(high, self.shown, self._strength)

    def take_snapshot(self) -> Snapshot:
        """The state after the first frame put with `keep_state` of which none was taken yet; `get` must have
        given its output."""
        with self._ready:
            return self._snapshots.popleft()

    def take_busy_s(self) -> float:
        """Seconds of the device since the last call; of a batch, this stream's part."""
        with self._ready:
            taken, self._busy_s = self._busy_s, 0.0
            return taken

    def check(self) -> None:
        """Raise as `put` would, for one who waits for the next frame elsewhere."""
        with self._ready:
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Give up what is left; the slot is free at the next tick. Harmless after the end, and twice."""
        with self._room:
            self.fail(StreamClosed("the stream was closed"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # For the engine, under its lock

    @property
    def is_finished(self) -> bool:
        """Nothing is left for the engine to do."""
        return self._error is not None or (self._ended and not self._waiting)

    @property
    def is_broken(self) -> bool:
        """It failed or was closed: what the engine still makes of it is of no use."""
        return self._error is not None

    @property
    def _runnable(self) -> int:
        """Frames that can run: where the model looks ahead, the last one to come waits for the next."""
        held_back = self._config.looks_ahead and not self._ended
        return max(0, len(self._waiting) - held_back)

    def slot(self) -> Slot:
        known = next((i for i, each in enumerate(self._waiting) if each.needs_flow), len(self._waiting))
        return Slot(
            key=self.key,
            shape=self.shape,
            frames=self._runnable,
            flows=known,
            has_room=len(self._outputs) < self._queue_frames,
            waited_ticks=self.waited_ticks,
        )

    def waiting(self, index: int) -> Waiting:
        return self._waiting[index]

    def frame_after(self, index: int) -> LowFrame | None:
        """The frame that follows the waiting one at `index`; None after the last."""
        return self._waiting[index + 1].frame if index + 1 < len(self._waiting) else None

    def frame_before(self, index: int) -> LowFrame:
        """The frame that precedes the waiting one at `index`."""
        frame = self._waiting[index - 1].frame if index else self.last_frame
        assert frame is not None, "the first frame of a fresh stream has none before it"
        return frame

    def deliver(self, result: Stepped, busy_s: float) -> None:
        """The first waiting frame has become an output, by so many seconds of the device. Nothing happens if
        the stream broke meanwhile."""
        assert result.output is not None
        self._busy_s += busy_s
        if self._error is not None:
            return
        self.state, self.resume = result.state, None
        done = self._waiting.popleft()
        self.last_frame = done.frame
        if done.is_shown:
            self._outputs.append((result.output, done.frame))
        if result.snapshot is not None:
            self._snapshots.append(result.snapshot)
        self._room.notify()
        self._ready.notify()
        if self.is_finished:
            self._ready.notify_all()

    def fail(self, error: UpscaleError | StreamClosed) -> None:
        """Both sides raise `error` from now on; the first one counts. Frames in either queue are dropped."""
        if self._error is None:
            self._error = error
            self._waiting.clear()
            self._outputs.clear()
            self._room.notify_all()
            self._ready.notify_all()
            self._work.notify()

    def _misfit(self, frame: LowFrame, flow: NDArray[np.float32] | None) -> str | None:
        height, width, sample_bytes = self.shape
        dtype = _SAMPLES[sample_bytes]
        if frame.shape != (height, width, 3) or frame.dtype != dtype:
            return f"a frame of {frame.shape} {frame.dtype} came to a stream of {(height, width, 3)} {dtype}"
        if (flow is not None) != (self._config.flow_comes_along and not self._fresh):
            given = "given" if flow is not None else "missing"
            return f"flow {given}: first={self._fresh}, F={self._config.flow}"
        if flow is not None and (flow.shape != (2, height, width) or not np.isfinite(flow).all()):
            return f"a flow of {flow.shape} came to a stream of {(2, height, width)}, or it is not finite"
        return None


def checked_resume(resume: Snapshot | None, shape: Shape, config: ModelConfig) -> Snapshot | None:
    """Raises OutputInvalid unless the snapshot is one of such a stream."""
    if resume is not None:
        height, width, sample_bytes = shape
        dtype = _SAMPLES[sample_bytes]
        for array, expected, kind in (
            (resume.frame, (height, width, 3), dtype),
            (resume.output, (height * SCALE, width * SCALE, 3), dtype),
            (resume.hidden, (height, width, config.hidden), np.dtype(np.int8)),
        ):
            if array.shape != expected or array.dtype != kind:
                raise OutputInvalid(
                    f"a state of {array.shape} {array.dtype}, where {expected} {kind} is expected"
                )
    return resume
