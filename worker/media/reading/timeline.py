"""Timeline: when each frame is shown, where decoding may begin and where shots start, from decoding once.

Containers' own counts and durations are hints and often wrong, so frames are counted by the decoder that
later reads them (decode.py). Memory is a few integers a frame. Start at `scan`.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate, chain, dropwhile, pairwise
from math import ceil
from pathlib import Path

import av
import av.container

from service.errors import BrokenMedia, InvalidOption, TooLong
from service.formats import Deinterlace
from worker.media.reading.coding import CodingMeter
from worker.media.reading.container import open_media
from worker.media.reading.decode import (
    Clock,
    Damage,
    Packet,
    frames,
    open_stream,
    packets_at,
    pictures,
    read_packets,
)
from worker.media.reading.fields import FieldFinder, in_frames
from worker.media.reading.shots.finder import Shots
from worker.media.traits import Meter, traits
from worker.media.types import Deinterlacing, Key, Limits, Source, Timeline

_SEEK_BACK_S = (0, 5, 30)  # tried in turn for a start in mid file; then the whole file is read
_REORDER_FRAMES_MAX = 16  # H.264 and HEVC hold back no more frames between decoding order and display order
_MISSING_TAIL_S = 1.0  # a header that promises this much more than there is makes a notice


def scan(
    path: Path,
    source: Source,
    *,
    limits: Limits,
    start_s: float | None = None,
    duration_s: float | None = None,
    deinterlace: Deinterlace = "auto",
    on_frame: Callable[[int], None] = lambda _count: None,
) -> Timeline:
    """The frames shown in [start_s, start_s + duration_s) of the container's time; without them, all.

    deinterlace   what becomes of pictures that turn out to be interlaced
    on_frame      called after each decoded frame with how many there were; from 1 again where frames that are
                  made of pictures are looked at
    Raises BrokenMedia if nothing decodes, InvalidOption if the span is empty or holds no frame, TooLong if
    the video goes on beyond the limit, whatever its header said.
    """
    span = _span(source, start_s, duration_s)
    length_max = Fraction(limits.duration_s_max) / source.time_base
    seen = _Seen(clock="dts" if source.container == "avi" else "pts")
    shots, fields, meter = Shots(), FieldFinder(), Meter()
    with open_media(path) as container:
        stream = open_stream(container, source)
        coding = CodingMeter(stream, source)
        packets = seen.watch(coding.watch(_packets_to_scan(container, stream, source, span, seen)))
        for picture in pictures(stream, source, packets, seen.damage):
            seen.add(picture)
            if seen.time >= span.stop:
                break
            if seen.time - max(seen.first_time, span.start) > length_max:
                raise TooLong(
                    f"the video goes on after the limit of {limits.duration_s_max:.0f} s",
                    field="duration",
                    value=limits.duration_s_max,
                )
            seen.prints.append(shots.add(picture))
            fields.add(picture)
            if seen.time >= span.start:
                meter.add(picture)
            on_frame(len(seen.pts))
    timeline = _timeline(source, span, seen, shots)
    found = fields.finish()
    timeline = replace(
        timeline,
        notices=(*timeline.notices, *found.notices(deinterlace)),
        traits=traits(meter.finish(), *coding.finish()),
    )
    if not found.is_woven or deinterlace == "off":
        return timeline
    how = Deinterlacing(parity=found.parity, frames_per_picture=2 if deinterlace == "fields" else 1)
    return _look_again(path, source, in_frames(timeline, how), on_frame)


def _look_again(path: Path, source: Source, timeline: Timeline, on_frame: Callable[[int], None]) -> Timeline:
    """The timeline with the cuts, repeats and traits of the frames that are made of the pictures."""
    shots, meter = Shots(), Meter()
    for frame in frames(path, source, timeline, 0, timeline.frame_count):
        shots.add(frame)
        meter.add(frame)
        on_frame(shots.count)
    seen, found = timeline.traits, meter.finish()
    if seen is not None and found is not None:
        seen = replace(seen, pixels=found)
    return replace(timeline, cuts=shots.cuts(), repeats=tuple(shots.repeats), traits=seen)


@dataclass(frozen=True, slots=True)
class _Span:
    """What is wanted, in time stamps of the stream; infinite where no end was named."""

    start: float
    stop: float


def _span(source: Source, start_s: float | None, duration_s: float | None) -> _Span:
    if start_s is not None and start_s < 0:
        raise InvalidOption("start must not be negative", field="start", value=start_s)
    if duration_s is not None and duration_s <= 0:
        raise InvalidOption("duration must be positive", field="duration", value=duration_s)
    begin_s = source.start_s + _decimal(start_s or 0)
    return _Span(
        start=-float("inf") if start_s is None else ceil(begin_s / source.time_base),
        stop=float("inf")
        if duration_s is None
        else ceil((begin_s + _decimal(duration_s)) / source.time_base),
    )


def _decimal(seconds: float) -> Fraction:
    return Fraction(str(seconds))  # 0.4 means four tenths, not the nearest binary number above it


@dataclass(slots=True)
class _Seen:
    """What one pass over the file saw: packets in the order of the file, frames in the order of display."""

    clock: Clock
    sought: bool = False  # reading began in mid file
    damage: Damage = field(default_factory=Damage)
    packet_dts: "array[int]" = field(default_factory=lambda: array("q"))
    key_packets: list[tuple[int, int | None, int | None]] = field(default_factory=list)  # place, pts, dts
    pts: "array[int]" = field(default_factory=lambda: array("q"))
    key_frames: list[int] = field(default_factory=list)  # indexes
    prints: "array[int]" = field(default_factory=lambda: array("L"))
    duration: int = 0  # of the last frame, 0 if the file does not say
    has_gaps: bool = False  # some packet or frame had no time

    def watch(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        for place, packet in enumerate(packets):
            if packet.dts is not None:
                self.packet_dts.append(packet.dts)
            if packet.is_keyframe:
                self.key_packets.append((place, packet.pts, packet.dts))
            yield packet

    def add(self, picture: av.VideoFrame) -> None:
        if picture.key_frame:
            self.key_frames.append(len(self.pts))
        self.has_gaps |= picture.pts is None
        self.pts.append(self.time + 1 if picture.pts is None and self.pts else picture.pts or 0)
        self.duration = picture.duration

    @property
    def time(self) -> int:
        """When the latest frame is shown, as far as one can know while reading."""
        if self.clock == "dts" and len(self.packet_dts) >= len(self.pts):
            return self.packet_dts[len(self.pts) - 1]
        return self.pts[-1]

    @property
    def first_time(self) -> int:
        return self.packet_dts[0] if self.clock == "dts" and self.packet_dts else self.pts[0]


def _packets_to_scan(
    container: av.container.InputContainer, stream: av.VideoStream, source: Source, span: _Span, seen: _Seen
) -> Iterator[Packet]:
    """Packets from a key frame at or before the span's start; from the first, where none can be sought."""
    if span.start > 0 and seen.clock == "pts":
        for back_s in _SEEK_BACK_S:
            target = int(span.start - back_s / source.time_base)
            packets = dropwhile(
                lambda p: not p.is_keyframe, packets_at(container, stream, target, seen.damage)
            )
            first = next(packets, None)
            if first is not None and first.pts is not None and first.pts <= span.start:
                seen.sought = True
                return chain([first], packets)
        return packets_at(container, stream, Key.FILE_START, seen.damage)
    return read_packets(container, stream, seen.damage)


def _timeline(source: Source, span: _Span, seen: _Seen, shots: Shots) -> Timeline:
    if not seen.pts:
        raise BrokenMedia("no frame can be decoded", field="frames", value=0)
    times, is_counted, notices = _times(seen)
    keys = _keys(seen, is_counted=is_counted)
    if not keys:
        raise BrokenMedia("no frame stands alone, so decoding cannot begin", field="frames", value=0)
    first = max(bisect_left(times, span.start), keys[0].frame_index)
    stop = bisect_left(times, span.stop)
    if first >= stop:
        raise InvalidOption(
            "no frame is shown in the wanted span", field="start", value=_seconds(span, source)
        )
    base = max(k.frame_index for k in keys if k.frame_index <= first)
    return Timeline(
        time_base=source.time_base,
        times=tuple(times[first:stop]),
        duration=times[stop] - times[stop - 1] if stop < len(times) else _last_duration(source, seen, times),
        keys=tuple(Key(k.frame_index - first, k.stamp) for k in keys if base <= k.frame_index < stop),
        cuts=tuple(cut - first for cut in shots.cuts() if first < cut < stop),
        repeats=tuple(index - first for index in shots.repeats if first < index < stop),
        clock=seen.clock,
        is_counted=is_counted,
        prints=tuple(seen.prints[first:stop]) if is_counted and not seen.damage.is_in_frames else (),
        notices=(*notices, *_damage_notices(source, span, seen, times)),
    )


def _times(seen: _Seen) -> tuple[list[int], bool, tuple[str, ...]]:
    """When each seen frame is shown, strictly rising, and whether these are other times than its own."""
    own = list(seen.pts)
    if seen.clock == "pts" and not seen.has_gaps and _is_rising(own):
        return own, False, ()
    notice = () if seen.clock == "dts" else ("display times were missing or out of order and were restored",)
    # The k-th frame shown takes the k-th time of the file: sorted decode times are display times, moved by
    # the reorder depth, which players of AVI take off too.
    decode_times = list(seen.packet_dts[: len(own)])
    if seen.clock == "dts" and len(decode_times) == len(own) and _is_rising(decode_times):
        return decode_times, True, notice
    return list(accumulate(own, lambda before, now: max(before + 1, now))), True, notice


def _is_rising(times: list[int]) -> bool:
    return all(before < after for before, after in pairwise(times))


def _keys(seen: _Seen, *, is_counted: bool) -> list[Key]:
    """Where decoding may begin: packets marked as keys that did give a key frame, and the file's start."""
    if is_counted and seen.damage.is_in_frames:
        keys = _counted_keys(seen)[:1] if seen.sought else []  # counting is only safe from where it began
    else:
        keys = _counted_keys(seen) if is_counted else _timed_keys(seen)
    if not seen.sought and (not keys or keys[0].frame_index > 0):
        keys.insert(0, Key(0, Key.FILE_START))
    return keys


def _timed_keys(seen: _Seen) -> list[Key]:
    shown_at = {seen.pts[frame_index]: frame_index for frame_index in seen.key_frames}
    keys = [Key(shown_at[pts], pts) for _, pts, _ in seen.key_packets if pts in shown_at]
    return sorted(keys, key=lambda key: key.frame_index)


def _counted_keys(seen: _Seen) -> list[Key]:
    """Frames do not say which packet they came from, but both kinds of key come in the same order.

    A key is shown after its packet's place by at most the frames held back; another pair can't be trusted.
    """
    return [
        Key(frame_index, stamp)
        for (place, pts, dts), frame_index in zip(seen.key_packets, seen.key_frames, strict=False)
        if (stamp := pts if seen.clock == "pts" else dts) is not None
        and 0 <= frame_index - place <= _REORDER_FRAMES_MAX
    ]


def _last_duration(source: Source, seen: _Seen, times: list[int]) -> int:
    if seen.duration > 0:
        return seen.duration
    if source.rate:
        return max(round(1 / (source.rate * source.time_base)), 1)
    return times[-1] - times[-2] if len(times) > 1 else 1


def _damage_notices(source: Source, span: _Span, seen: _Seen, times: list[int]) -> Iterator[str]:
    if seen.damage.broken_packets:
        yield f"{seen.damage.broken_packets} packets are damaged and were left out"
    if seen.damage.broken_frames:
        yield f"{seen.damage.broken_frames} frames are damaged and are shown as far as they decode"
    # Matroska promises an end, counted from zero, where mp4 promises a length: the longer is held against it.
    shown_s = float((times[-1] - min(times[0], 0)) * source.time_base)
    promised_s = source.duration_s or 0.0
    is_whole = span.start == -float("inf") and span.stop == float("inf")
    if seen.damage.is_cut_short or (is_whole and promised_s > shown_s + _MISSING_TAIL_S):
        yield f"the file is cut short: {shown_s:.2f} s of {promised_s:.2f} s are there and were kept"


def _seconds(span: _Span, source: Source) -> float:
    return float(Fraction(max(span.start, 0)) * source.time_base - source.start_s)
