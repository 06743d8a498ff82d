"""Feeder: the thread that draws frames, adds the flow that OpenCV finds, and fills the engine's stream.

The stream's bounded queue slows it to the network's pace. Not here: where frames come from (worker/media/),
what becomes of the outputs (segment.py, worker/offline/).
"""

import threading
from collections.abc import Container, Generator
from contextlib import closing
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model_core.config import ModelConfig
from model_core.dis import DisFlow
from worker.engine.stream import Stream, StreamClosed
from worker.frames import LowFrame
from worker.job.stages import Stages


class Feeder:
    """`with Feeder(...)` feeds in the background; leaving the block closes the stream.

    frames         low frames in order, drawn and closed on the feeder's thread
    start          the index of the first
    kept           frames after which the stream keeps its state
    repeats        frames that equal the one before, which the stream need not see
    config         the model's: OpenCV's flow is computed here, a network's by the engine
    frame_before   the frame before `start` where the stream goes on from a stored state
    """

    def __init__(
        self,
        stream: Stream,
        frames: Generator[LowFrame],
        *,
        config: ModelConfig,
        start: int = 0,
        kept: Container[int] = (),
        repeats: Container[int] = (),
        frame_before: LowFrame | None = None,
    ) -> None:
        self._stream = stream
        self._frames, self._start = frames, start
        self._kept, self._repeats = kept, repeats
        self._dis = DisFlow(config.flow) if config.flow_comes_along else None
        self._before = frame_before
        self.stages = Stages()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def check(self) -> None:
        """Raise what ended the feeding, if anything did."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()  # frees a feeder that waits for room
        self._thread.join()

    def _run(self) -> None:
        try:
            self._feed()
            self._stream.end()
        except StreamClosed:
            pass  # the reader stopped first and knows why
        except BaseException as error:  # noqa: BLE001 - the top of a thread: the reader raises it
            self._error = error
            self._stream.close()

    def _feed(self) -> None:
        before = self._before
        index = self._start
        with closing(self._frames) as frames:
            while (frame := self._next(frames)) is not None:
                if index not in self._repeats:
                    self._stream.put(frame, self._flow(before, frame), keep_state=index in self._kept)
                    before = frame
                index += 1

    def _next(self, frames: Generator[LowFrame]) -> LowFrame | None:
        with self.stages.timed("decode"):
            return next(frames, None)

    def _flow(self, before: LowFrame | None, frame: LowFrame) -> NDArray[np.float32] | None:
        if self._dis is None or before is None:
            return None
        with self.stages.timed("flow"):
            return self._dis(before, frame)
