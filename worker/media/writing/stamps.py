"""Which time every packet of the joined video gets. Pure arithmetic on integers.

A part says only in which order its packets are shown. The plan says when its frames are shown. Decode times
are the sorted show times delayed by the reorder depth, so they rise and no packet is due after it is shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.media.types import Timeline


@dataclass(frozen=True, slots=True)
class Stamp:
    """The times of one packet, in units of the timeline's base."""

    pts: int
    dts: int
    duration: int  # until the next frame is shown


def show_order(pts: Sequence[int]) -> list[int]:
    """For packets in decode order, the place of each in the order in which they are shown."""
    assert len(set(pts)) == len(pts)
    order = [0] * len(pts)
    for place, index in enumerate(sorted(range(len(pts)), key=pts.__getitem__)):
        order[index] = place
    return order


def reorder_depth(order: Sequence[int]) -> int:
    """By how many packets at most one is decoded after its place in the show order."""
    return max((index - place for index, place in enumerate(order)), default=0)


def stamps(timeline: Timeline, first: int, order: Sequence[int], *, depth: int) -> Iterator[Stamp]:
    """The times of one part's packets, in decode order.

    first   the frame of the timeline that the part starts with
    depth   of the deepest part: one file has one delay

    Decoding starts as long before the first frame as the last `depth` frames take, and the last packet lasts
    as long as the last frame: so decode times, by which mp4 counts a track's length, span exactly the video.
    """
    times = timeline.times
    shown = (*times[first : first + len(order) + 1], times[-1] + timeline.duration)
    lead = times[-1] - times[-1 - depth]
    for index, place in enumerate(order):
        due = first + index - depth
        is_last = first + index == len(times) - 1
        yield Stamp(
            pts=shown[place],
            dts=times[due] if due >= 0 else times[0] + due * lead // depth,
            duration=timeline.duration if is_last else shown[place + 1] - shown[place],
        )
