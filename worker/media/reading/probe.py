"""Probe: what an input is, from its headers and its first frame, and whether we can keep it right.

Everything that makes an upload unfit is found here, within moments and before frames are decoded in number.
Not here: how many frames there are and when they are shown (timeline.py). Start at `probe`.
"""

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.container
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition, Stream

from service.errors import BrokenMedia, FrameTooLarge, NoVideo, TooLong, UnsupportedMedia
from service.formats import PICTURES
from worker.media import colour as colours
from worker.media.reading.container import open_media, sniff
from worker.media.reading.declared import declared_sizes
from worker.media.reading.light import dynamic_kinds, read_light
from worker.media.reading.siting import stated_place
from worker.media.types import Chapter, Colour, Limits, Source, StreamInfo

# Decoders that strangers may reach. FFmpeg has hundreds more, and every few months one of them has a hole.
_CODECS = frozenset(
    {
        "h264",
        "hevc",
        "vp8",
        "vp9",
        "av1",
        "mpeg4",
        "h263",
        "msmpeg4v2",
        "msmpeg4v3",
        "mpeg1video",
        "mpeg2video",
        "mjpeg",
        "prores",
        "dnxhd",
        "dvvideo",
        "ffv1",
        "huffyuv",
        "ffvhuff",
        "utvideo",
        "rawvideo",
        "png",
        "qtrle",
    }
)
_PACKETS_TO_FIRST_FRAME_MAX = 300  # of all streams; a video that has given no frame by then is broken


def probe(path: Path, *, limits: Limits) -> Source:
    """What `path` holds. A picture is only recognised: pictures/ reads it and checks its size.

    Raises EmptyUpload, NotMedia, NoVideo, BrokenMedia, FrameTooLarge, TooLong or UnsupportedMedia.
    """
    kind = sniff(path)
    if kind in PICTURES:
        return Source(kind="image", container=kind)
    for width, height in declared_sizes(path, kind):
        _check_size(width, height, limits)
    with open_media(path, pixels_max=limits.pixels_max) as container:
        stream = _video_stream(container)
        _check_size(stream.codec_context.width, stream.codec_context.height, limits)
        duration_s = _duration_s(container, stream)
        if duration_s is not None and duration_s > limits.duration_s_max:
            raise TooLong(
                f"the video says it lasts {duration_s:.0f} s; the limit is {limits.duration_s_max:.0f} s",
                field="duration",
                value=round(duration_s, 3),
            )
        frame = _first_frame(container, stream)
        _check_size(frame.width, frame.height, limits)
        return _describe(container, stream, frame, kind=kind, duration_s=duration_s)


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & _COVER]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise NoVideo("the file holds no video", field="file", value=kinds)
    stream = next((s for s in streams if s.disposition & Disposition.default), streams[0])
    context = stream.codec_context
    if context is None or context.codec.canonical_name not in _CODECS:
        name = context.codec.canonical_name if context else "unknown"
        raise UnsupportedMedia(f"video coded as {name} is not read", field="codec", value=name)
    return stream


_COVER = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels_max:
        raise FrameTooLarge(
            f"the video says it is {width}x{height}; the limit is {limits.pixels_max} pixels a frame",
            field="frame_size",
            value=f"{width}x{height}",
        )


def _duration_s(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _first_frame(container: av.container.InputContainer, stream: av.VideoStream) -> av.VideoFrame:
    stream.thread_count = 1  # frame threads would read ahead, and one frame is wanted
    broken = 0
    try:
        for count, packet in enumerate(container.demux(stream)):
            try:
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame)
                    return frame
            except av.FFmpegError:
                broken += 1
            if count >= _PACKETS_TO_FIRST_FRAME_MAX:
                break
    except av.FFmpegError as error:
        raise BrokenMedia(f"the file cannot be read: {error.strerror}", field="file") from error
    what = "no frame can be decoded" if broken else "the video stream holds no frames"
    raise BrokenMedia(what, field="frames", value=0)


def _describe(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    frame: av.VideoFrame,
    *,
    kind: str,
    duration_s: float | None,
) -> Source:
    colour, colour_notices = _colour(stream, frame)
    _refuse_what_cannot_be_kept(stream, frame)
    notices = list(colour_notices)
    for name in dynamic_kinds(_side_data(frame)):
        notices.append(f"{name} metadata was dropped; what is said of the whole video was kept")
    matrix = _display_matrix(frame)
    assert stream.time_base is not None
    infos = {s.index: _info(s) for s in container.streams if s.index != stream.index}
    return Source(
        kind="video",
        container=kind,
        stream_index=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        pix_fmt=frame.format.name,
        depth=max(8, *(component.bits for component in frame.format.components)),
        sar=stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1),
        rotation=frame.rotation % 360,
        display_matrix=matrix,
        rate=stream.average_rate or stream.guessed_rate,
        time_base=stream.time_base,
        start_s=Fraction(container.start_time or 0, av.time_base),
        duration_s=duration_s,
        colour=colour,
        light=read_light(_side_data(frame)),
        chroma_place=stated_place(stream),
        audio=tuple(i for i in infos.values() if i.kind == "audio"),
        subtitles=tuple(i for i in infos.values() if i.kind == "subtitle"),
        others=tuple(i for i in infos.values() if i.kind not in {"audio", "subtitle"}),
        chapters=_chapters(container),
        tags=dict(container.metadata),
        notices=tuple(notices),
    )


def _colour(stream: av.VideoStream, frame: av.VideoFrame) -> tuple[Colour, tuple[str, ...]]:
    context = stream.codec_context  # the container's word, where the bitstream is silent
    tagged = Colour(
        matrix=_said(frame.colorspace, context.colorspace),
        primaries=_said(frame.color_primaries, context.color_primaries),
        transfer=_said(frame.color_trc, context.color_trc),
        range=frame.color_range or context.color_range or 0,
    )
    name = frame.format.name
    return colours.settle(
        tagged, height=frame.height, is_rgb=frame.format.is_rgb, is_full=name.startswith("yuvj")
    )


def _said(of_frame: int, of_stream: int) -> int:
    return int(of_stream if of_frame == colours.UNSPECIFIED else of_frame)


def _refuse_what_cannot_be_kept(stream: av.VideoStream, frame: av.VideoFrame) -> None:
    if any(side.type == SideDataType.DOVI_METADATA for side in _side_data(frame)):
        raise UnsupportedMedia("Dolby Vision is not read", field="transfer", value="dolby vision")
    has_alpha = any(component.is_alpha for component in frame.format.components)
    if has_alpha or stream.metadata.get("alpha_mode") == "1":
        raise UnsupportedMedia(
            "video with an alpha channel would lose it", field="pix_fmt", value=frame.format.name
        )


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    for side in _side_data(frame):
        if side.type == SideDataType.DISPLAYMATRIX:
            return struct.unpack("=9i", bytes(side))
    return None


def _side_data(frame: av.VideoFrame) -> Iterable[SideData]:
    return cast("Iterable[SideData]", frame.side_data)  # PyAV's stubs call it a dict; it iterates its values


def _info(stream: Stream) -> StreamInfo:
    # A codec that FFmpeg cannot decode has no context, yet its packets can be copied.
    context = stream.codec_context
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=context.codec.canonical_name if context else "",
        language=stream.language,
        title=stream.metadata.get("title"),
        disposition=int(stream.disposition),
    )


def _chapters(container: av.container.InputContainer) -> tuple[Chapter, ...]:
    return tuple(
        Chapter(
            start_s=chapter["start"] * (chapter["time_base"] or Fraction(1, av.time_base)),
            end_s=chapter["end"] * (chapter["time_base"] or Fraction(1, av.time_base)),
            title=chapter["metadata"].get("title"),
        )
        for chapter in container.chapters()
    )
