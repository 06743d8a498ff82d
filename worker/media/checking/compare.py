"""What two files have in common, by their packets alone: times of the picture, bytes of copied streams.

join.py checks its own result with it, and verify.py any two files. Nothing is decoded and nothing is kept but
the times of frames, so length costs little memory.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
from av.stream import Disposition

from worker.media.reading.container import open_media
from worker.media.reading.tracks import Packet, Window, packets, time_of


def _nothing() -> None:
    """For callers that need not hear of every packet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When the frames of a file are shown, in its own clock."""

    time_base: Fraction
    times: tuple[int, ...]  # sorted
    end_s: Fraction | None  # of the last frame, as far as the container says


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedStream:
    """One stream of the source beside its copy in the result."""

    source_index: int
    index: int
    kind: str
    codec: str
    packet_count: int  # of the source
    copy_count: int
    is_same: bool  # every packet, byte for byte
    sha256: str  # over the source's packets
    difference_s_max: Fraction  # largest between the times of two packets


def read_times(path: Path, *, on_packet: Callable[[], None] = _nothing) -> Times:
    """The times of the main video's packets."""
    with open_media(path) as container:
        stream = main_video(container.streams.video)
        assert stream.time_base is not None
        times = []
        for packet in container.demux(stream):
            on_packet()
            if packet.size:
                times.append(time_of(packet))
        return Times(time_base=stream.time_base, times=tuple(sorted(times)), end_s=_end_s(stream))


def main_video(streams: tuple[av.VideoStream, ...]) -> av.VideoStream:
    """The one that is not a cover picture; the marked one where there are several."""
    films = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    return next((stream for stream in films if stream.disposition & Disposition.default), films[0])


def compare_stream(
    source_path: Path,
    source_index: int,
    path: Path,
    index: int,
    *,
    window: Window,
    on_packet: Callable[[], None] = _nothing,
) -> CopiedStream:
    """Walk both streams side by side. The window is of the source; its copy is compared whole."""
    digest = hashlib.sha256()
    counts = [0, 0]
    is_same, difference_s = True, Fraction(0)
    with open_media(source_path) as source, open_media(path) as result:
        original, copy = source.streams[source_index], result.streams[index]
        codec = original.codec_context.codec.canonical_name if original.codec_context else ""
        pairs = zip_longest(packets(source, [original], window), packets(result, [copy], Window()))
        for before, after in pairs:
            on_packet()
            if before is not None:
                counts[0] += 1
                digest.update(bytes(before))
            if after is not None:
                counts[1] += 1
            if before is None or after is None or _payload(before, codec) != _payload(after, codec):
                is_same = False
            if before is not None and after is not None:
                difference_s = max(difference_s, _apart_s(before, after, window))
        kind = original.type
    return CopiedStream(
        source_index=source_index,
        index=index,
        kind=kind,
        codec=codec,
        packet_count=counts[0],
        copy_count=counts[1],
        is_same=is_same,
        sha256=digest.hexdigest(),
        difference_s_max=difference_s,
    )


def _apart_s(before: Packet, after: Packet, window: Window) -> Fraction:
    wanted_s = time_of(before) * before.time_base + window.shift_s
    if before.stream.type == "subtitle":
        wanted_s = max(wanted_s, Fraction(0))  # shown from the first kept frame on
    return abs(time_of(after) * after.time_base - wanted_s)


def _payload(packet: Packet, codec: str) -> bytes:
    data = bytes(packet)
    if codec == "aac" and len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]  # AVI may carry ADTS headers, which mp4 keeps elsewhere
    return data


def _end_s(stream: av.VideoStream) -> Fraction | None:
    """When the last frame ends: mp4 has the stream's duration, Matroska a tag "00:00:01.040000000"."""
    assert stream.time_base is not None
    if stream.duration is not None:
        return ((stream.start_time or 0) + stream.duration) * stream.time_base
    tag = stream.metadata.get("DURATION")
    if tag is None:
        return None
    hours, minutes, seconds = tag.split(":")
    return Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds)
