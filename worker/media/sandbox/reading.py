"""What callers of media use: the functions that read, each of them carried out by a process of its own.

Every function gives and raises what the one of the same name in the rooms that read does, and BrokenMedia
where the file made its reader crash, hang or outgrow its limits. What comes back is looked at again, as far
as the worker's own memory depends on it. `on_wait` is called twice a second while nothing is heard, and may
raise. Start at `probe`.
"""

import atexit
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import Base64Bytes, PositiveInt, TypeAdapter, ValidationError

from service.errors import BrokenMedia
from service.formats import Deinterlace, PictureFormat, Strip
from worker.frames import LowFrame, Planes
from worker.media.pictures.picture import Picture
from worker.media.reading.fields import pictures_for
from worker.media.reading.survey import Survey
from worker.media.sandbox.keeper import KEEPER, Keeper
from worker.media.sandbox.parent import nothing, reading
from worker.media.sandbox.pool import Pool
from worker.media.sandbox.ring import Ring
from worker.media.types import Key, Limits, Source, Timeline

_CHANNELS: Final = 3
_FRACTION: Final = re.compile(r"-?\d{1,40}(/\d{1,40})?")


def probe(path: Path, *, limits: Limits, on_wait: Callable[[], None] = nothing) -> Source:
    """reading/probe.py"""
    given = {"pixels_max": limits.pixels_max, "duration_s_max": limits.duration_s_max}
    with reading("probe", path, given, pixels=limits.pixels_max) as reader:
        return _source(reader.result(on_wait=on_wait), limits)


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
        counts = _Counts(on_frame)
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
        raise _nonsense() from error


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


def read_image(
    path: Path,
    *,
    pixels_max: int,
    strip: Strip | None = None,
    owner: str | None = None,
    on_wait: Callable[[], None] = nothing,
) -> Picture:
    """pictures/reading.py

    owner   whose picture it is: no other's is ever in the same process
    """
    with POOL.taken(owner, pixels_max) as pooled:
        ring, reader = pooled.ring, pooled.reader
        reader.ask("read_image", path, {"pixels_max": pixels_max, "strip": strip})
        try:
            found = _PICTURE.validate_python(reader.result(on_wait=on_wait))
        except ValidationError as error:
            raise _nonsense() from error
        height, width = found.size
        if height * width > pixels_max:
            raise _nonsense()
        return Picture(
            rgb=ring.take(0, (height, width, _CHANNELS), is_deep=found.is_deep),
            alpha=ring.take(1, (height, width), is_deep=found.is_deep) if found.has_alpha else None,
            is_grey=found.is_grey,
            icc=found.icc,
            exif=found.exif,
            format=found.format,
            notices=found.notices,
        )


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
        counts = _Counts(on_frame)
        found = reader.result(on_count=counts, on_wait=on_wait)
    match found:
        case {"source": dict(source), "timeline": dict(timeline)}:
            return _source(source, limits), counts.checked(timeline)
    raise _nonsense()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What comes beside the pixels of a picture."""

    size: tuple[PositiveInt, PositiveInt]
    has_alpha: bool
    is_deep: bool
    is_grey: bool
    icc: Base64Bytes | None
    exif: Base64Bytes | None
    format: PictureFormat
    notices: tuple[str, ...]


_PICTURE: Final = TypeAdapter(_Picture)
_SURVEY: Final = TypeAdapter(Survey)
POOL: Final = Pool(slots=2, pixel_bytes=2 * _CHANNELS)  # colours and transparency, of 16 bits a sample
atexit.register(POOL.close)


class _Counts:
    """How many frames a pass over all of them told of, which its timeline may not exceed."""

    def __init__(self, on_frame: Callable[[int], None]) -> None:
        self._on_frame = on_frame
        self._most = 0

    def __call__(self, count: int) -> None:
        self._most = max(self._most, count)
        self._on_frame(count)

    def checked(self, plain: dict[str, object]) -> Timeline:
        try:
            _check_fractions([plain.get("time_base")])
            timeline = Timeline.from_json(plain)
        except ValidationError as error:
            raise _nonsense() from error
        if not 0 < timeline.frame_count <= self._most:
            raise _nonsense()
        return timeline


def _source(plain: dict[str, object], limits: Limits) -> Source:
    said = [plain.get(name) for name in ("sar", "rate", "time_base", "start_s")]
    chapters = plain.get("chapters")
    for chapter in chapters if isinstance(chapters, list) else ():
        said += [chapter.get("start_s"), chapter.get("end_s")] if isinstance(chapter, dict) else []
    try:
        _check_fractions(said)
        source = Source.from_json(plain)
    except ValidationError as error:
        raise _nonsense() from error
    if source.width < 0 or source.height < 0 or source.width * source.height > limits.pixels_max:
        raise _nonsense()
    return source


def _check_fractions(said: Iterable[object]) -> None:
    """Texts such as "1/25" and no others: "1e999999999" would be computed."""
    if any(each is not None and not _FRACTION.fullmatch(str(each)) for each in said):
        raise _nonsense()


def _nonsense() -> BrokenMedia:
    return BrokenMedia("the file cannot be read: its reader told nonsense", field="file")
