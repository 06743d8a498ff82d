"""Feeder: the thread that draws frames, adds the flow that OpenCV finds, and fills the engine's stream.

The stream's bounded queue slows it to the network's pace. Not here: where frames come from (worker/media/),
what becomes of the outputs (segment.py, worker/offline/).
"""

import threading
from collections.abc import Container, Generator, Iterator
from contextlib import closing
from itertools import chain, islice
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from model_core.config import ModelConfig
from model_core.dis import DisFlow
from worker.engine.stream import Stream, StreamClosed
from worker.frames import LowFrame
from worker.job.stages import Stages

LEAD_IN: Final = 5  # frames, as TecoGAN-PyTorch pads its clips
LEAD_IN_PART: Final = 8  # of short shots no more than this part, or a lead-in would cost more than it gives


def lead_in(config: ModelConfig, frame_count: int, at_most: int = LEAD_IN) -> int:
    """How many of a shot's first frames are played towards it before it begins, so that the recurrence has a
    past to draw on; what it makes of them is not shown (ADR 34)."""
    return min(at_most, frame_count // LEAD_IN_PART) if config.recurrent else 0


class Feeder:
    """`with Feeder(...)` feeds in the background; leaving the block closes the stream.

    frames         low frames in order, drawn and closed on the feeder's thread
    start          the index of the first
    kept           frames after which the stream keeps its state
    repeats        frames that equal the one before, which the stream need not see
    config         the model's: OpenCV's flow is computed here, a network's by the engine
    frame_before   the frame before `start` where the stream goes on from a stored state
    lead           frames 1 to `lead` come first in falling order, unseen: the `lead_in` of a shot
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
        lead: int = 0,
    ) -> None:
        self._stream = stream
        self._frames, self._start = frames, start
        self._kept, self._repeats = kept, repeats
        self._dis = DisFlow(config.flow) if config.flow_comes_along else None
        self._before, self._lead = frame_before, lead
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
        with closing(self._frames):
            frames = self._decoded()
            first = list(islice(frames, self._lead + 1))
            for frame in reversed(first[1:]):
                self._stream.put(frame, self._flow(frame), is_shown=False)
            for index, frame in enumerate(chain(first, frames), self._start):
                if index not in self._repeats:
                    self._stream.put(frame, self._flow(frame), keep_state=index in self._kept)

    def _decoded(self) -> Iterator[LowFrame]:
        while True:
            with self.stages.timed("decode"):
                frame = next(self._frames, None)
            if frame is None:
                return
            yield frame

    def _flow(self, frame: LowFrame) -> NDArray[np.float32] | None:
        """From the frame back to the one that was put before it."""
        before, self._before = self._before, frame
        if self._dis is None or before is None:
            return None
        with self.stages.timed("flow"):
            return self._dis(before, frame)
