"""What callers of media use: functions that read videos and animations, each carried out by its own process.

Every function gives and raises what the one of the same name in the rooms that read does, and BrokenMedia
where the file made its reader crash, hang or outgrow its limits. What comes back is looked at again
(judging.py). `on_wait` is called twice a second while nothing is heard, and may raise. Not here: still
pictures (pictures.py). Start at `probe`.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from service.errors import BrokenMedia
from service.formats import Deinterlace
from worker.frames import LowFrame, Planes
from worker.media.reading.fields import pictures_for
from worker.media.reading.survey import Survey
from worker.media.sandbox.judging import Counts, nonsense, source_of
from worker.media.sandbox.keeper import KEEPER, Keeper
from worker.media.sandbox.parent import nothing, reading
from worker.media.sandbox.ring import Ring
from worker.media.types import Key, Limits, Source, Timeline

_CHANNELS: Final = 3
_SURVEY: Final = TypeAdapter(Survey)


def probe(path: Path, *, limits: Limits, on_wait: Callable[[], None] = nothing) -> Source:
    """reading/probe.py"""
    given = {"pixels_max": limits.pixels_max, "duration_s_max": limits.duration_s_max}
    with reading("probe", path, given, pixels=limits.pixels_max) as reader:
        return source_of(reader.result(on_wait=on_wait), limits)


def scan(
    path: Path,
    source: Source,
    *,
    limits: Limits,
    start_s: float | None = None,
    duration_s: float | None = None,
    deinterlace: Deinterlace = "auto",
    on_frame: Callable[[int], None] = lambda _count: None,
    on_wait: Callable[[], None] = nothing,
) -> Timeline:
    """reading/timeline.py; `on_frame` is called not for each frame but now and then, and for the last one."""
    given = {
        "source": source.to_json(),
        "pixels_max": limits.pixels_max,
        "duration_s_max": limits.duration_s_max,
        "start_s": start_s,
        "duration_s": duration_s,
        "deinterlace": deinterlace,
    }
    with reading("scan", path, given, pixels=source.width * source.height) as reader:
        counts = Counts(on_frame)
        return counts.checked(reader.result(on_count=counts, on_wait=on_wait))


def survey(
    path: Path,
    source: Source,
    *,
    start_s: float | None = None,
    duration_s: float | None = None,
    on_wait: Callable[[], None] = nothing,
) -> Survey:
    """reading/survey.py"""
    given = {"source": source.to_json(), "start_s": start_s, "duration_s": duration_s}
    with reading("survey", path, given, pixels=source.width * source.height) as reader:
        found = reader.result(on_count=lambda _count: on_wait(), on_wait=on_wait)
    try:
        return _SURVEY.validate_python(found)
    except ValidationError as error:
        raise nonsense() from error


def decode(
    path: Path,
    source: Source,
    timeline: Timeline,
    start: int,
    stop: int,
    *,
    on_wait: Callable[[], None] = nothing,
) -> Generator[LowFrame]:
    """reading/decode.py"""
    piece, first = _piece(timeline, start, stop)
    given = {
        "source": source.to_json(),
        "timeline": piece.to_json(),
        "start": start - first,
        "stop": stop - first,
    }
    shape = (source.height, source.width, _CHANNELS)
    return _frames("decode", path, given, shape, stop - start, is_deep=source.is_deep, on_wait=on_wait)


def _piece(timeline: Timeline, start: int, stop: int) -> tuple[Timeline, int]:
    """All of a timeline that decoding those frames needs, and the index of its first frame.

    Shots of a long film are many, and each would carry the whole film's.
    """
    how, per_picture, wanted = timeline.deinterlacing, 1, range(start, stop)
    if how is not None:
        per_picture = how.frames_per_picture
        wanted = pictures_for(how, start, stop, picture_count=timeline.picture_count)
    before = timeline.keys[: bisect_right(timeline.keys, wanted.start, key=lambda key: key.frame_index)]
    keys = dict.fromkeys((*before[:1], *before[-3:]))  # to go back to where damage makes that necessary
    first = max(before[-3:][0].frame_index, 0)
    return replace(
        timeline,
        times=timeline.times[first * per_picture : wanted.stop * per_picture],
        prints=timeline.prints[first : wanted.stop],
        keys=tuple(Key(key.frame_index - first, key.stamp) for key in keys),
        cuts=(),
        repeats=(),
    ), first * per_picture


def look_through(
    path: Path,
    kind: str,
    *,
    limits: Limits,
    is_laid_on_white: bool,
    on_frame: Callable[[int], None] = lambda _count: None,
    on_wait: Callable[[], None] = nothing,
) -> tuple[Source, Timeline]:
    """animation/reading.py; `on_frame` is called as by `scan`."""
    given = {
        "kind": kind,
        "pixels_max": limits.pixels_max,
        "duration_s_max": limits.duration_s_max,
        "is_laid_on_white": is_laid_on_white,
    }
    with reading("look_through", path, given, pixels=limits.pixels_max) as reader:
        counts = Counts(on_frame)
        found = reader.result(on_count=counts, on_wait=on_wait)
    match found:
        case {"source": dict(source), "timeline": dict(timeline)}:
            return source_of(source, limits), counts.checked(timeline)
    raise nonsense()


def decode_animation(
    path: Path,
    source: Source,
    start: int,
    stop: int,
    *,
    is_laid_on_white: bool,
    on_wait: Callable[[], None] = nothing,
) -> Generator[LowFrame]:
    """animation/reading.py: decode"""
    given = {"source": source.to_json(), "start": start, "stop": stop, "is_laid_on_white": is_laid_on_white}
    shape = (source.height, source.width, _CHANNELS)
    return _frames("decode_animation", path, given, shape, stop - start, on_wait=on_wait)


def alphas(
    path: Path, source: Source, frame_count: int, *, on_wait: Callable[[], None] = nothing
) -> Generator[Planes]:
    """The transparency of every frame of an animation, (h, w): animation/reading.py: shown"""
    given = {"source": source.to_json()}
    return _frames("alphas", path, given, (source.height, source.width), frame_count, on_wait=on_wait)


def _frames(
    task: str,
    path: Path,
    given: Mapping[str, object],
    shape: tuple[int, ...],
    frame_count: int,
    *,
    is_deep: bool = False,
    on_wait: Callable[[], None] = nothing,
    keeper: Keeper = KEEPER,
) -> Generator[Planes]:
    pixels = shape[0] * shape[1]
    with (
        closing(Ring.make(math.prod(shape) * (2 if is_deep else 1))) as ring,
        reading(task, path, given, pixels=pixels, ring=ring, keeper=keeper) as reader,
    ):
        done = 0
        for place in reader.frames(on_wait=on_wait):
            if done == frame_count:
                raise BrokenMedia("the file gives more frames than were wanted", field="frames", value=done)
            yield ring.take(place, shape, is_deep=is_deep)
            done += 1
    if done < frame_count:
        raise BrokenMedia("the file gives fewer frames than were wanted", field="frames", value=done)
