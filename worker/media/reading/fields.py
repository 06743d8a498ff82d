"""Fields: whether a video's pictures weave two moments together, and whole frames made of such pictures.

Judged by FFmpeg's idet over every picture, since what files say of themselves is wrong both ways: film is
sent in interlaced streams, and woven pictures in progressive ones. Made by its bwdif. Not here: which
pictures there are (timeline.py, decode.py). Start at `FieldFinder` and `deinterlaced`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import Final

import av
import av.filter

from service.formats import Deinterlace
from worker.media.types import Deinterlacing, Parity, Timeline

# No standard of fields has fewer or more lines, and of few lines one moving edge makes all counts lean.
_LINES: Final = range(120, 1153)
_COLUMNS_MIN: Final = 16

# idet takes a few whole pictures for woven, of noise and fine stripes some more, but about as many for one
# order of fields as for the other; of woven ones that move nearly all have one, of telecined film four in
# five. So what counts is how many more have one than the other, as a share of those that move, and of all.
# ADR 25 has what that came to on clips that these were not set by.
_EXCESS_MIN: Final = 0.25
_EXCESS_MIN_OF_ALL: Final = 0.1
_EXCESS_MIN_FLAGGED: Final = 0.1
_EXCESS_MIN_OF_ALL_FLAGGED: Final = 0.02
_REPEATED_MIN: Final = 0.1  # of each field; telecine shows one top and one bottom field again in 5 pictures
_HALO: Final = 1  # pictures each way that bwdif looks at


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What a video's pictures turned out to be."""

    is_woven: bool
    is_flagged: bool  # the file says so of most pictures
    is_telecined: bool = False
    parity: Parity = "auto"

    def notices(self, wanted: Deinterlace) -> Iterator[str]:
        """What its owner should know."""
        if self.is_woven and wanted == "off":
            yield "the video is interlaced and was enlarged as it is woven, since deinterlace is off"
        elif self.is_woven:
            made = "each field" if wanted == "fields" else "each pair of fields"
            yield f"the video is interlaced: {made} became a whole frame (bwdif, {_ORDERS[self.parity]})"
        elif self.is_flagged:
            yield "the video says it is interlaced, but its pictures are whole: they were left as they are"
        elif wanted == "fields":
            yield "the video is not interlaced: its pictures were left as they are"
        if self.is_telecined:
            yield (
                "the video is telecined film (24 frames a second spread over the fields of 30):"
                " inverse telecine before upscaling would give the film's own frames"
            )


_ORDERS: Final[dict[Parity, str]] = {
    "tff": "top field first",
    "bff": "bottom field first",
    "auto": "the order of fields as flagged",
}


class FieldFinder:
    """Takes all pictures in display order; `finish` says what they are."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._count = self._flagged = 0
        self._kinds: Counter[str] = Counter()
        self._repeated: Counter[str] = Counter()
        self._judged = 0
        self._latest: dict[str, str] = {}

    def add(self, picture: av.VideoFrame) -> None:
        self._count += 1
        self._flagged += picture.interlaced_frame
        if picture.height not in _LINES or picture.width < _COLUMNS_MIN:
            return
        if self._graph is None:
            self._graph = _graph(picture, "idet")
        self._graph.vpush(picture)
        self._judge()

    def finish(self) -> Fields:
        if self._graph is not None:
            self._graph.vpush(None)
            self._judge()
            self._graph = None
        is_flagged = 2 * self._flagged > self._count
        moving = self._kinds["tff"] + self._kinds["bff"] + self._kinds["progressive"]
        if not moving:  # nothing moves, so woven pictures are whole
            return Fields(is_woven=False, is_flagged=False)
        excess = self._kinds["tff"] - self._kinds["bff"]
        of_moving = _EXCESS_MIN_FLAGGED if is_flagged else _EXCESS_MIN
        of_all = _EXCESS_MIN_OF_ALL_FLAGGED if is_flagged else _EXCESS_MIN_OF_ALL
        if abs(excess) < max(of_moving * moving, of_all * self._count):
            return Fields(is_woven=False, is_flagged=is_flagged)
        repeated = min(self._repeated["top"], self._repeated["bottom"]) / moving
        return Fields(
            is_woven=True,
            is_flagged=is_flagged,
            is_telecined=repeated > _REPEATED_MIN,
            parity="tff" if excess > 0 else "bff",
        )

    def _judge(self) -> None:
        assert self._graph is not None
        for seen in _pulled(self._graph):
            # The first and the last are told by one neighbour alone, which is wrong of stripes that move.
            if self._judged > 1:
                self._kinds[self._latest.get("lavfi.idet.single.current_frame", "")] += 1
                self._repeated[self._latest.get("lavfi.idet.repeated.current_frame", "")] += 1
            self._judged += 1
            self._latest = seen.metadata


def deinterlaced(pictures: Iterable[av.VideoFrame], how: Deinterlacing) -> Iterator[av.VideoFrame]:
    """Whole frames, in the pictures' format; each but the first and last by its neighbours' help."""
    mode = "send_field" if how.frames_per_picture == 2 else "send_frame"
    graph = None
    for picture in chain(pictures, [None]):
        if graph is None:
            if picture is None:
                return
            arguments = f"mode={mode}:parity={how.parity}:deint=all"
            graph = _graph(picture, "bwdif", arguments, keeps_format=True)
        graph.vpush(picture)
        yield from _pulled(graph)


def pictures_for(how: Deinterlacing, start: int, stop: int, *, picture_count: int) -> range:
    """The pictures to put through `deinterlaced` so that frames [start, stop) come out as of a whole pass."""
    first, last = start // how.frames_per_picture, (stop - 1) // how.frames_per_picture
    return range(max(first - _HALO, 0), min(last + 1 + _HALO, picture_count))


def in_frames(timeline: Timeline, how: Deinterlacing) -> Timeline:
    """A timeline of pictures as one of the frames made of them; the second of two is shown half-way."""
    timeline = replace(timeline, deinterlacing=how, cuts=(), repeats=())
    if how.frames_per_picture == 1:
        return timeline
    ends = (*timeline.times[1:], timeline.times[-1] + timeline.duration)
    pairs = zip(timeline.times, ends, strict=True)
    return replace(
        timeline,
        time_base=timeline.time_base / 2,
        times=tuple(chain.from_iterable((2 * begin, begin + end) for begin, end in pairs)),
    )


def of_pictures(timeline: Timeline) -> Timeline:
    """The reverse: when the pictures are shown that frames are made of."""
    how = timeline.deinterlacing
    if how is None or how.frames_per_picture == 1:
        return timeline
    times = tuple(time // 2 for time in timeline.times[::2])
    return replace(timeline, time_base=timeline.time_base * 2, times=times)


def _graph(
    picture: av.VideoFrame, name: str, arguments: str = "", *, keeps_format: bool = False
) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1  # as everywhere: decoder and encoder have threads of their own
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 1_000_000)
    )
    work = graph.add(name, arguments)
    source.link_to(work)
    if keeps_format:
        # Packed and half-planar formats are taken apart on the way in, without loss, and put together again.
        same = graph.add("format", picture.format.name)
        work.link_to(same)
        work = same
    work.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    """What is ready."""
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return
