"""Segment: decode, upscale and encode one run of frames, then its successors while they may go on.

A feeding thread decodes the whole rest of the chain into the engine's stream while this thread encodes what
comes out, so decoding, network and encoding overlap and queues bound what lies between. At the end of each
segment the state is rounded to the levels that are stored beside its part: whoever goes on from there, this
worker or another, gives the same frames. A frame that equals the one before is not computed again.
"""

import logging
import secrets
import time
from collections.abc import Callable, Collection, Container, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import av

from model_core.config import SCALE
from service import metrics
from service.errors import OutputInvalid
from service.formats import CONTAINERS
from service.jobs import keys, manifest
from service.jobs.manifest import Manifest, Plan, Segment
from service.jobs.model import Job
from service.jobs.steps import segment_index, segment_step
from worker.engine.backends.base import Snapshot
from worker.engine.blending import WHOLE, blended
from worker.engine.engine import Engine
from worker.engine.reducing import reduced
from worker.engine.stream import Stream, StreamClosed
from worker.frames import HighFrame, LowFrame, YuvFrame, is_yuv
from worker.job.context import WorkerContext, room_for
from worker.job.held import Held, LeaseLost, patiently
from worker.job.steps.feeder import Feeder, lead_in
from worker.job.steps.handover import delete_state_before, load_state, store_state
from worker.job.steps.pinned import pinned_model
from worker.job.steps.plan import encoding_of
from worker.job.steps.reuse import last_computed, reused
from worker.job.tracing import trace
from worker.media.colour import rgb_of
from worker.media.pictures.picture import Picture
from worker.media.sandbox.reading import decode, decode_animation
from worker.media.types import Source, Timeline
from worker.media.writing.encode import PartEncoder
from worker.models.registry import Served
from worker.yuv import Yuv420

log = logging.getLogger(__name__)

# A chain keeps its open stream for so long before it lets others have their turn: to go on later costs a seek
# and what the queues held, a fraction of a second.
KEPT_S: Final = 2.0


def upscale(context: WorkerContext, held: Held) -> None:
    """Run the segment that is held, and its successors while their leases are to be had."""
    found = manifest.load(context.storage, held.lease.job_id)
    assert found.plan is not None, "segments exist only after planning"
    with pinned_model(context, found.job.id, found.plan) as model:
        _upscale_chain(context, held, found, model)


def _upscale_chain(context: WorkerContext, held: Held, found: Manifest, model: Served) -> None:
    plan = found.plan
    assert plan is not None
    index = segment_index(held.lease.step)
    assert index is not None
    chain = _chain_from(plan.segments, index)
    source, timeline = Source.from_json(plan.source), Timeline.from_json(plan.timeline)
    resume, share = load_state(context, found.job.id, chain[0]), found.share
    with (
        room_for(context, held, source.width * source.height, is_deep=source.is_deep),
        context.inputs.open(found.job.id, on_chunk=held.proceed) as path,
        model.engine.open(
            source.height,
            source.width,
            is_deep=source.is_deep,
            yuv=_yuv(found, source) if model.engine.backend.makes_yuv and share == WHOLE else None,
            strength=share,
            state=resume,
        ) as stream,
    ):
        repeats = reused(timeline)
        feeder = Feeder(
            stream,
            _decode(path, plan, chain[0].frame_start, chain[-1].frame_stop, on_wait=stream.check),
            start=chain[0].frame_start,
            kept={last_computed(segment.frame_stop - 1, repeats) for segment in chain[:-1]},
            repeats=repeats,
            config=model.config,
            frame_before=None if resume is None else resume.frame,
            lead=0 if resume else lead_in(model.config, _frames_of(chain), plan.lead_in),
        )
        work = _ChainWork(
            context, found, source, stream, feeder, engine=model.engine, repeats=repeats, resume=resume
        )
        began = time.monotonic()
        with feeder:
            held.on_stop = stream.close
            held.check()  # or what was told to stop before would wait for a frame
            work.run(held, chain[0], has_successor=len(chain) > 1)
            for segment in chain[1:]:
                unless_next = context.runtimes if time.monotonic() - began > KEPT_S else None
                with _next_held(context, found.standing(), segment, stream, unless_next) as successor:
                    if successor is None:
                        return
                    work.run(successor, segment, has_successor=segment is not chain[-1])


class _ChainWork:
    """What stays the same from one segment of a chain to the next."""

    def __init__(
        self,
        context: WorkerContext,
        found: Manifest,
        source: Source,
        stream: Stream,
        feeder: Feeder,
        *,
        engine: Engine,
        repeats: Container[int],
        resume: Snapshot | None,
    ) -> None:
        self._context, self._found, self._source = context, found, source
        self._encoding = encoding_of(found)
        self._engine, self._stream, self._feeder = engine, stream, feeder
        self._repeats = repeats
        self._state = resume  # of the latest segment's end
        self._low: LowFrame | None = None  # the latest that was computed
        self._high: HighFrame | YuvFrame | None = None  # of that, as it is written
        if resume is not None:
            self._low = resume.frame
            self._high = blended(resume.output, resume.frame, found.share)

    def run(self, held: Held, segment: Segment, *, has_successor: bool) -> None:
        job_id, fence = held.lease.job_id, held.lease.fence
        part = self._context.scratch / f"{job_id}-{segment.index}-{fence}.mkv"
        try:
            with PartEncoder(part, self._encoding) as encoder:
                self._encode(held, segment, encoder)
            state_key = None
            if has_successor:
                if last_computed(segment.frame_stop - 1, self._repeats) >= segment.frame_start:
                    self._state = self._stream.take_snapshot()
                assert self._state is not None, "the first frame of a chain is no repeat"
                state_key = keys.state_key(job_id, segment.index, fence)
                store_state(self._context, state_key, self._state)
            part_key = keys.part_key(job_id, segment.index, fence)
            with held.timed("upload"):
                patiently(self._context.storage.put_file, part_key, part, on_chunk=held.tell)
            # The other two threads are ahead of this one: what they did counts where it was noticed.
            held.stages.add(self._feeder.stages.take())
            held.stages.add({"generator": self._stream.take_busy_s()})
            held.finish(part_key=part_key, state_key=state_key)
        finally:
            part.unlink(missing_ok=True)
        log.info("segment_done", extra={"frame_count": segment.frame_count})
        delete_state_before(self._context, job_id, segment)

    def _encode(self, held: Held, segment: Segment, encoder: PartEncoder) -> None:
        """Write the segment's frames."""
        for index in range(segment.frame_start, segment.frame_stop):
            if self._high is None or index not in self._repeats:
                self._high = self._next_output(held)
                self._low = self._stream.shown
            with held.timed("convert"):
                written = self._high
                if not is_yuv(written):
                    written = reduced(written, (self._encoding.width, self._encoding.height))
                frame = encoder.convert(written)
            with held.timed("encode"):
                encoder.encode(frame)
            metrics.FRAMES.inc()
            self._context.meter.add(self._source.width * self._source.height / 1e6)
            self._show(held, index, written, frame)  # first: progress tells that there is a preview
            held.advance()

    def _show(self, held: Held, index: int, written: HighFrame | YuvFrame, frame: av.VideoFrame) -> None:
        plan, source = self._found.plan, self._source
        assert plan is not None
        assert self._low is not None
        self._context.previews.show(
            held,
            lambda: Picture(rgb=rgb_of(frame, self._encoding.colour) if is_yuv(written) else written),
            Picture(rgb=self._low),
            sar=source.sar,
            rotation=source.rotation,
            colour=source.colour,
            is_last=index + 1 == plan.frame_count,
        )

    def _next_output(self, held: Held) -> HighFrame | YuvFrame:
        try:
            with held.timed("wait"), held.trusting(self._is_in_engine):
                high = self._stream.get()
        except StreamClosed:
            held.check()  # closed because the lease is lost
            self._feeder.check()  # closed because decoding failed
            raise LeaseLost("the engine was closed") from None
        if high is None:
            raise OutputInvalid("the engine gave fewer frames than were planned")
        return high

    def _is_in_engine(self) -> bool:
        return self._engine.advances(self._stream)


def _yuv(found: Manifest, source: Source) -> Yuv420 | None:
    """How outputs may come ready for the encoder; None where they must be reduced or made so here."""
    encoding = encoding_of(found)
    is_whole = (encoding.width, encoding.height) == (source.width * SCALE, source.height * SCALE)
    return encoding.yuv if is_whole else None


def _decode(
    path: Path, plan: Plan, start: int, stop: int, *, on_wait: Callable[[], None]
) -> Generator[LowFrame]:
    """Frames [start, stop) for the network. Exhaust it or close it: a process holds the file open."""
    source = Source.from_json(plan.source)
    if plan.kind == "animation":
        on_white = plan.container in CONTAINERS
        return decode_animation(path, source, start, stop, is_laid_on_white=on_white, on_wait=on_wait)
    return decode(path, source, Timeline.from_json(plan.timeline), start, stop, on_wait=on_wait)


def _chain_from(segments: Sequence[Segment], index: int) -> list[Segment]:
    """The segment and all that follow it without a cut."""
    chain = [segments[index]]
    for segment in segments[index + 1 :]:
        if segment.follows is None:
            break
        chain.append(segment)
    return chain


def _frames_of(chain: Sequence[Segment]) -> int:
    return chain[-1].frame_stop - chain[0].frame_start


@contextmanager
def _next_held(
    context: WorkerContext,
    job: Job,
    segment: Segment,
    stream: Stream,
    unless_next: Collection[str] | None,
) -> Iterator[Held | None]:
    """The successor's lease, or None where another worker took it, the job has ended, or another is next."""
    owner = f"{context.name}-{secrets.token_hex(4)}"
    lease = context.store.acquire(job.id, segment_step(segment.index), owner, unless_next=unless_next)
    if lease is None:
        yield None
        return
    with Held(context.store, lease, draining=context.draining, on_stop=stream.close) as successor:
        trace(context, successor, job)
        yield successor
