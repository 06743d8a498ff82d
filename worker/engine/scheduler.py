"""Scheduler: decides which streams advance one frame at this tick, and whose flows are computed ahead.

Not here: tensors (backends/), threads and queues (engine.py, stream.py). Start reading at `decide`.

The policy in four sentences. All streams of one step share one shape, so a tick serves one group of equal
shape: the one with most streams ready. A group that was passed over too often goes first, so a lone stream of
an odd size waits a bounded number of ticks. Inside a group those that waited longest go first. Flows do not
depend on outputs, so where a tick must compute any, the rest of that batch is filled with flows of frames
that come later.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Shape = tuple[int, int, int]  # (h, w, bytes of a sample) of the low-resolution frame

PASSED_OVER_TICKS_MAX = 4  # a smaller group waits this long for its turn; more would show as a stutter


@dataclass(frozen=True, slots=True)
class Slot:
    """What the policy sees of one stream."""

    key: int
    shape: Shape
    frames: int  # waiting in order; the first is the one that would advance
    flows: int  # of those frames, how many from the first on need no flow computed any more
    has_room: bool  # the output queue can take one more
    waited_ticks: int  # ticks at which it was ready and others were served

    @property
    def is_ready(self) -> bool:
        return self.frames > 0 and self.has_room


@dataclass(frozen=True, slots=True)
class Wanted:
    """Compute the flow of one waiting frame: `index` 0 is the frame that advances next."""

    key: int
    index: int


@dataclass(frozen=True, slots=True)
class Decision:
    flows: tuple[Wanted, ...]  # one batch, run before the step; per stream in order of frames
    step: tuple[int, ...]  # keys of the streams that advance, one frame each
    passed_over: tuple[int, ...]  # keys that were ready and must wait: their `waited_ticks` grow by one


def decide(slots: Sequence[Slot], *, batch_max: Callable[[Shape], int], lookahead: int) -> Decision | None:
    """One tick; None when no stream is ready.

    slots:     in order of their last turn, earliest first; so ties go to who was served longest ago
    batch_max: for a shape, how many streams a step holds and how many flows a batch
    lookahead: how many waiting frames of one stream may have a flow

    A ready stream advances after at most PASSED_OVER_TICKS_MAX + len(slots) ticks: once overdue, only those
    that have waited at least as long go before it, and each of them starts to wait anew.
    """
    assert lookahead >= 1
    ready = [slot for slot in slots if slot.is_ready]
    if not ready:
        return None
    ready.sort(key=lambda slot: -slot.waited_ticks)  # stable: among equals the order of `slots` holds
    shape = _shape_to_serve(ready, batch_max)
    room = batch_max(shape)
    step = [slot for slot in ready if slot.shape == shape][:room]
    served = {slot.key for slot in step}
    return Decision(
        flows=_flows_to_compute(step, [slot for slot in slots if slot.shape == shape], room, lookahead),
        step=tuple(slot.key for slot in step),
        passed_over=tuple(slot.key for slot in ready if slot.key not in served),
    )


def _shape_to_serve(ready: Sequence[Slot], batch_max: Callable[[Shape], int]) -> Shape:
    """`ready` is sorted, longest waiting first."""
    if ready[0].waited_ticks >= PASSED_OVER_TICKS_MAX:
        return ready[0].shape
    counts: dict[Shape, int] = {}
    for slot in ready:
        counts[slot.shape] = counts.get(slot.shape, 0) + 1
    # Groups that fill a batch are equals. A tie goes to the shape seen first: the one that waited longest.
    return max(counts, key=lambda shape: min(counts[shape], batch_max(shape)))


def _flows_to_compute(
    step: Sequence[Slot], group: Sequence[Slot], room: int, lookahead: int
) -> tuple[Wanted, ...]:
    """Those the step cannot do without, then, only if there are any, later ones until the batch is full."""
    flows = [Wanted(slot.key, 0) for slot in step if slot.flows == 0]
    if not flows:
        return ()
    for index in range(lookahead):  # nearest frames of all streams first
        for slot in group:
            flow = Wanted(slot.key, index)
            if slot.flows <= index < slot.frames and flow not in flows and len(flows) < room:
                flows.append(flow)
    return tuple(flows)
