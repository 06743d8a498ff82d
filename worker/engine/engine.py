"""Engine: the one thread that owns a device and advances every open stream in batches.

Streams join and leave at any tick. Who advances is decided in scheduler.py, ticks.py runs what was decided,
the network lies in backends/, callers hold a Stream (stream.py). Start reading at `_run`.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from model_core.config import SCALE
from service.errors import DeviceGone, DeviceLost
from worker.engine.backends.base import Backend, Snapshot
from worker.engine.blending import WHOLE
from worker.engine.fitting import Fitting
from worker.engine.scheduler import Decision, decide
from worker.engine.stream import Stream, StreamClosed, checked_resume
from worker.engine.ticks import Runner, Stage, Tick
from worker.yuv import Yuv420

log = logging.getLogger(__name__)

IDLE_WAIT_S = 1.0  # an idle engine shows itself alive this often
QUEUE_FRAMES_MAX = 8
QUEUE_BYTES_MAX = 256 * 1024**2  # of outputs that wait in one stream: two of 7680x4320, ten of 3840x2160


class Engine:
    """Continuous batching over one backend.

    batch_max     streams in one step; fewer where the backend's pixel budget says so
    queue_frames  frames that wait in front of and behind each stream; fewer where they are large
    lookahead     frames of one stream whose flow may be computed before their turn
    device        a lock held during each tick: engines of several models share one and take turns
    on_batch      told the number of streams of each step
    on_stage      told the seconds of each stage: all flows of a tick, or its step
    """

    def __init__(
        self,
        backend: Backend,
        *,
        batch_max: int = 8,
        queue_frames: int = QUEUE_FRAMES_MAX,
        lookahead: int = 4,
        device: "threading.Lock | None" = None,
        on_batch: Callable[[int], None] | None = None,
        on_stage: Callable[[Stage, float], None] | None = None,
    ) -> None:
        if min(batch_max, queue_frames, lookahead) < 1:
            raise ValueError(f"each must be 1 or more: {batch_max=} {queue_frames=} {lookahead=}")
        self.backend = backend
        self._pace = backend.pace
        self._fitting = Fitting(backend, batch_max=batch_max)
        self._queue_frames, self._lookahead = queue_frames, lookahead
        self._device = device or threading.Lock()
        self._lock = threading.Lock()  # guards all below, and every stream's queues
        self._runner = Runner(backend, self._fitting, self._lock, on_batch=on_batch, on_stage=on_stage)
        self._work = threading.Condition(self._lock)
        self._streams: dict[int, Stream] = {}  # in order of their last turn
        self._keys = itertools.count()
        self._closing = False
        self._failure: DeviceLost | None = None
        self.busy_s = 0.0  # for metrics: read by anyone, written by the engine's thread alone
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def open(
        self,
        height: int,
        width: int,
        *,
        is_deep: bool = False,
        yuv: Yuv420 | None = None,
        strength: float = WHOLE,
        state: Snapshot | None = None,
    ) -> Stream:
        """A new stream for frames of height x width, from the next tick on.

        is_deep   they are uint16, and so are the outputs; else uint8
        yuv       what outputs are to be, of a backend that `makes_yuv`; else RGB
        strength  0 to 1: how much `get` gives of what the network made, the rest being bicubic interpolation
        state     of a stream to go on with
        Raises    DeviceLost once the engine has failed, StreamClosed once it was closed
        """
        assert yuv is None or (self.backend.makes_yuv and not is_deep and strength == WHOLE)
        shape = (height, width, 2 if is_deep else 1)
        resume = checked_resume(state, shape, self.backend.config)
        output_bytes = height * SCALE * width * SCALE * 3 * shape[2]
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._closing:
                raise StreamClosed("the engine was closed")
            stream = Stream(
                next(self._keys),
                shape,
                config=self.backend.config,
                yuv=yuv,
                strength=strength,
                queue_frames=queue_frames(output_bytes, self._queue_frames),
                resume=resume,
                lock=self._lock,
                work=self._work,
            )
            self._streams[stream.key] = stream
            return stream

    @property
    def stream_count(self) -> int:
        return len(self._streams)

    def stuck_s(self) -> float | None:
        """Seconds since the engine was heard of, if that is longer than its work explains; None while it has
        no streams."""
        return self._pace.stuck_s() if self._streams else None

    def advances(self, stream: Stream) -> bool:
        """Whether a frame of the stream is in hand or waits for its turn, and the engine is not stuck."""
        with self._lock:
            has_frames = stream.slot().frames > 0
        return has_frames and self.stuck_s() is None

    @property
    def waiting_count(self) -> int:
        """Streams of which a frame waits to be run."""
        with self._lock:
            return sum(stream.slot().is_ready for stream in self._streams.values())

    @property
    def failure(self) -> DeviceLost | None:
        """Why the engine stopped; it won't recover, its owner makes another."""
        return self._failure

    def close(self) -> None:
        """Stop after the tick in hand; streams still open are closed."""
        with self._lock:
            self._closing = True
            self._work.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # On the engine's thread

    def _run(self) -> None:
        try:
            while (tick := self._next_tick()) is not None:
                with self._turn():
                    started = time.monotonic()
                    self._runner.run(tick)
                    self.busy_s += time.monotonic() - started
                del tick  # or its frames would stay in memory for as long as the engine idles
            self._drop_all(StreamClosed("the engine was closed"))
        except Exception as error:  # whatever it is, those who wait for a stream must hear of it
            log.exception("engine_failed")
            kind = DeviceLost if self.backend.answers() else DeviceGone
            failure = kind(f"the engine failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._drop_all(failure)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone with the device. Whoever waits here is well; the one that keeps it may hang."""
        while not self._device.acquire(timeout=IDLE_WAIT_S):
            self._pace.tell()
        try:
            yield
        finally:
            self._device.release()

    def _next_tick(self) -> Tick | None:
        """Waits until there is something to do; None when the engine is to stop."""
        with self._work:
            while not self._closing:
                self._pace.tell()
                for key in [key for key, stream in self._streams.items() if stream.is_finished]:
                    # The caller may keep the stream, not the device's memory.
                    self._streams.pop(key).state = None
                slots = [stream.slot() for stream in self._streams.values()]
                decision = decide(slots, batch_max=self._fitting.batch_max, lookahead=self._lookahead)
                if decision is not None:
                    return self._gather(decision)
                self._work.wait(IDLE_WAIT_S)
            return None

    def _gather(self, decision: Decision) -> Tick:
        for key in decision.passed_over:
            self._streams[key].waited_ticks += 1
        for key in decision.step:
            self._streams[key] = stream = self._streams.pop(key)  # to the end: it has had its turn
            stream.waited_ticks = 0
        flows = [(self._streams[flow.key], flow.index) for flow in decision.flows]
        advancing = [self._streams[key] for key in decision.step]
        return Tick(
            shape=advancing[0].shape,
            flows=[(stream, stream.frame_before(index), stream.waiting(index)) for stream, index in flows],
            step=[(stream, stream.waiting(0), stream.frame_after(0)) for stream in advancing],
        )

    def _drop_all(self, error: DeviceLost | StreamClosed) -> None:
        with self._lock:
            self._failure = error if isinstance(error, DeviceLost) else None
            self._closing = True
            for stream in self._streams.values():
                stream.fail(error)
                stream.state = None
            self._streams.clear()


def queue_frames(output_bytes: int, most: int = QUEUE_FRAMES_MAX) -> int:
    """How many wait in front of a stream, and behind it, whose outputs have so many bytes."""
    return max(1, min(most, QUEUE_BYTES_MAX // output_bytes))
