"""Writing one file: the picture's packets from the parts, and all else of the source copied beside them.

Nothing is re-encoded and nothing is checked here; join.py does that. Start at `write`.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
from av.stream import Stream

from service.formats import MATROSKAS, Container
from worker.media.aspect import ROOM, set_display_size
from worker.media.reading.container import open_media
from worker.media.reading.tracks import (
    Copier,
    Dropped,
    Packet,
    Window,
    find_empty,
    info_name,
    packets,
    sort_streams,
)
from worker.media.types import Source, StreamInfo, Timeline
from worker.media.writing.encoding import Encoding
from worker.media.writing.light import open_with_light
from worker.media.writing.stamps import reorder_depth, stamps

_TIMESCALE_MAX = 2**31 - 1  # mp4 has 32 bits for it, FFmpeg uses 31
_CHAPTER_UNIT = Fraction(1, 1_000_000)

# Tags that say how a file was written, not what it shows.
_FILE_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "software"}
)
_STREAM_TAGS = frozenset({"language", "title", "comment", "filename", "mimetype", "handler_name"})


@dataclass(frozen=True, slots=True)
class Part:
    """A file of encoded frames."""

    path: Path
    first: int  # frame of the timeline
    order: tuple[int, ...]  # of its packets: the place of each in the order of showing


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the result is made from."""

    parts: tuple[Part, ...]
    source_path: Path
    source: Source
    timeline: Timeline
    encoding: Encoding
    container: Container
    window: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came with the picture."""

    copies: tuple[tuple[int, int], ...]  # (index in the source, index in the file)
    dropped: tuple[Dropped, ...]
    moved_count: int  # copied packets whose times did not rise and had to be changed


def write(layout: Layout, path: Path, *, on_packet: Callable[[], None]) -> Written:
    """Write the whole file to `path`; `on_packet` is called for every packet, and may raise to stop."""
    kept, dropped = _sort_streams(layout)
    with ExitStack() as stack:
        origin = stack.enter_context(open_media(layout.source_path))
        sample = stack.enter_context(av.open(str(layout.parts[0].path), format="matroska"))
        output = stack.enter_context(_open(layout, path, origin, kept))
        template = sample.streams.video[0]
        if layout.encoding.light is not None:
            lit = stack.enter_context(open_with_light(template, layout.encoding.light))
            template = lit.streams.video[0]
        video = _add_video(layout, output, template, origin)
        streams = {info.index: _add_copy(output, origin.streams[info.index]) for info in kept}
        output.metadata.update(file_tags(layout.source))
        output.set_chapters(_chapters(layout.source, layout.window))
        output.start_encoding()  # fixes the time base of every stream
        copiers = {
            index: Copier(origin.streams[index], stream, window=layout.window)
            for index, stream in streams.items()
            if stream.type != "attachment"
        }
        picture = _video_packets(layout, video)
        for packet in heapq.merge(picture, _copied_packets(origin, copiers, layout.window), key=_due_s):
            on_packet()
            output.mux(packet)
        copies = tuple((index, streams[index].index) for index in copiers)
    if _needs_display_size(layout):
        set_display_size(path, layout.encoding.width, layout.encoding.height, layout.encoding.sar)
    moved_count = sum(copier.moved_count for copier in copiers.values())
    return Written(copies=copies, dropped=dropped, moved_count=moved_count)


def _sort_streams(layout: Layout) -> tuple[list[StreamInfo], tuple[Dropped, ...]]:
    """As tracks.py sorts them by codec; those without a packet in the window are dropped too."""
    fitting, dropped = sort_streams(layout.source, layout.container)
    with open_media(layout.source_path) as origin:
        empty = find_empty(origin, [origin.streams[info.index] for info in fitting], layout.window)
    kept = [info for info in fitting if info.index not in empty]
    why = "it is empty" if layout.window.start_s is None else "it has nothing in the chosen span"
    lost = [Dropped(what=info_name(info), why=why) for info in fitting if info.index in empty]
    return kept, (*dropped, *lost)


def _open(
    layout: Layout, path: Path, origin: av.container.InputContainer, kept: Sequence[StreamInfo]
) -> av.container.OutputContainer:
    if layout.container in MATROSKAS:
        kind = "webm" if layout.container == "webm" else "matroska"
        # FFmpeg would move the whole file so that the priming of AAC does not begin before zero.
        options = {"avoid_negative_ts": "disabled"}
        return av.open(str(path), "w", format=kind, container_options=options)
    base = layout.timeline.time_base.denominator
    # Edit lists, which hold late starts and priming, are counted in the movie's units: make them fit all.
    scale = base
    for info in kept:
        rate = getattr(origin.streams[info.index].codec_context, "sample_rate", None) or 1
        wider = math.lcm(scale, rate)
        scale = wider if wider <= _TIMESCALE_MAX else scale
    options = {
        "movflags": "+faststart",
        "video_track_timescale": str(base),
        "movie_timescale": str(scale),
    }
    return av.open(str(path), "w", format=layout.container, container_options=options)


def _add_video(
    layout: Layout,
    output: av.container.OutputContainer,
    template: av.VideoStream,
    origin: av.container.InputContainer,
) -> av.VideoStream:
    encoding, source = layout.encoding, layout.source
    # PyAV looks for an encoder of the name that the template's decoder has; libdav1d has none.
    stream = output.add_stream_from_template(template, opaque=encoding.codec == "av1")
    context = stream.codec_context
    context.pix_fmt = encoding.pix_fmt  # a template without frames need not know it
    if layout.container not in MATROSKAS and encoding.tag is not None:
        context.codec_tag = encoding.tag
    stream.time_base = layout.timeline.time_base
    context.sample_aspect_ratio = encoding.sar
    if source.rate is not None:
        context.framerate = source.rate
    colour = encoding.written_colour
    context.colorspace, context.color_range = colour.matrix, colour.range
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    if source.display_matrix is not None:
        stream.set_display_matrix(_enlarged(source.display_matrix, Fraction(encoding.width, source.width)))
    original = origin.streams[source.stream_index]
    stream.disposition = original.disposition
    stream.metadata.update(_stream_tags(original))
    if _needs_display_size(layout):
        stream.metadata["title"] = stream.metadata.get("title", "") + ROOM
    return stream


def _needs_display_size(layout: Layout) -> bool:
    return layout.container in MATROSKAS and layout.encoding.sar != 1


def _enlarged(matrix: Sequence[int], scale: Fraction) -> list[int]:
    """A display matrix for a larger frame: only its translation is in pixels."""
    return [*matrix[:6], round(matrix[6] * scale), round(matrix[7] * scale), matrix[8]]


def _add_copy(output: av.container.OutputContainer, original: Stream) -> Stream:
    copy = output.add_stream_from_template(original)
    copy.disposition = original.disposition
    copy.metadata.update(_stream_tags(original))
    return copy


def _stream_tags(original: Stream) -> dict[str, str]:
    """Language, title and the like; not counts of packets, which Matroska keeps there, nor mp4's defaults."""
    tags = {key: value for key, value in original.metadata.items() if key.lower() in _STREAM_TAGS}
    if tags.get("handler_name", "").endswith("Handler"):
        del tags["handler_name"]
    return tags


def file_tags(source: Source) -> dict[str, str]:
    """The tags of the whole file that are worth keeping."""
    return {key: value for key, value in (source.tags or {}).items() if key.lower() not in _FILE_TAGS}


def _chapters(source: Source, window: Window) -> list[Any]:
    chapters: list[Any] = []
    for chapter in source.chapters:
        start_s, end_s = chapter.start_s, chapter.end_s
        if window.start_s is not None and window.end_s is not None:
            start_s, end_s = max(start_s, window.start_s), min(end_s, window.end_s)
        if start_s < end_s:
            entry = {
                "id": len(chapters) + 1,
                "start": round((start_s + window.shift_s) / _CHAPTER_UNIT),
                "end": round((end_s + window.shift_s) / _CHAPTER_UNIT),
                "time_base": _CHAPTER_UNIT,
                "metadata": {"title": chapter.title} if chapter.title else {},
            }
            chapters.append(entry)
    return chapters


def _video_packets(layout: Layout, target: av.VideoStream) -> Iterator[Packet]:
    timeline = layout.timeline
    shift = round(layout.window.shift_s / timeline.time_base)
    depth = max(reorder_depth(part.order) for part in layout.parts)
    assert target.time_base is not None
    # What a coarser clock rounds to nothing FFmpeg would replace by a guess from the frame rate.
    duration_min = math.ceil(target.time_base / timeline.time_base)
    for part in layout.parts:
        with av.open(str(part.path), format="matroska") as container:
            found = (packet for packet in container.demux(container.streams.video[0]) if packet.size)
            stamped = stamps(timeline, part.first, part.order, depth=depth)
            for packet, stamp in zip(found, stamped, strict=True):
                packet.stream = target
                packet.time_base = timeline.time_base
                packet.pts, packet.dts = stamp.pts + shift, stamp.dts + shift
                packet.duration = max(stamp.duration, duration_min)
                yield packet


def _copied_packets(
    origin: av.container.InputContainer, copiers: dict[int, Copier], window: Window
) -> Iterator[Packet]:
    if copiers:
        for packet in packets(origin, [origin.streams[index] for index in copiers], window):
            yield copiers[packet.stream.index].stamp(packet)


def _due_s(packet: Packet) -> Fraction:
    assert packet.dts is not None
    return packet.dts * packet.time_base
