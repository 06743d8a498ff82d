"""Makes test clips with PyAV: any container, codec, size, rate, reordering, sound and tag.

Every frame carries its own number as a row of black and white blocks, so that a test can ask a decoded frame,
or one enlarged four times, which frame it is (`number_of`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

BITS = 10  # blocks across the top that hold the frame's number, most significant first


def numbered(
    count: int, width: int = 96, height: int = 64, *, seed: int = 0, first: int = 0
) -> Iterable[Rgb]:
    """`count` frames of a textured scene in slow motion, each with its number on top; a seed is a scene."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (height // 8 + 3, (width + count) // 8 + 3, 3)).astype(np.float32)
    scene = np.kron(coarse, np.ones((8, 8, 1), np.float32))
    scene = (scene + np.roll(scene, 3, 0) + np.roll(scene, 3, 1) + np.roll(scene, (3, 3), (0, 1))) / 4
    for index in range(count):
        frame = scene[:height, index : index + width].astype(np.uint8)  # a pan of one pixel a frame
        yield stamp(frame, first + index)


def stamp(frame: Rgb, number: int) -> Rgb:
    """The frame with `number` written into its top eighth."""
    frame = frame.copy()
    height, width = frame.shape[:2]
    edges = np.linspace(0, width, BITS + 1).astype(int)
    for bit in range(BITS):
        white = number >> (BITS - 1 - bit) & 1
        frame[: max(4, height // 8), edges[bit] : edges[bit + 1]] = 235 if white else 16
    return frame


def number_of(frame: Rgb) -> int:
    """The number that `stamp` wrote, at any size."""
    height, width = frame.shape[:2]
    edges = np.linspace(0, width, BITS + 1)
    row = frame[max(1, height // 16), :, 1]
    middles = ((edges[:-1] + edges[1:]) / 2).astype(int)
    return int("".join("1" if row[x] > 125 else "0" for x in middles), 2)


def flat(colour: tuple[int, int, int], width: int = 96, height: int = 64) -> Rgb:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One audio track: a sine that starts at `start_s` and lasts `seconds`."""

    codec: str = "aac"
    seconds: float = 1.0
    start_s: float = 0.0
    rate: int = 48_000
    layout: str = "stereo"
    hertz: float = 440.0
    language: str | None = None


@dataclass(frozen=True, kw_only=True)
class Subtitle:
    """One text track, as (start, end, text) in seconds; `mov_text` in mp4, `subrip` or `ass` in Matroska."""

    lines: Sequence[tuple[float, float, str]] = ((0.0, 0.4, "hello"), (0.5, 0.9, "there"))
    language: str = "eng"


def make_clip(
    path: Path,
    frames: Iterable[Any] | int = 25,
    *,
    codec: str = "libx264",
    width: int = 96,
    height: int = 64,
    rate: Fraction | int = 25,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    sound: Sequence[Sound] = (),
    subtitle: Subtitle | None = None,
    chapters: Sequence[tuple[float, float, str]] = (),
    tags: dict[str, str] | None = None,
    sar: Fraction | None = None,
    rotation: int = 0,
    colour: dict[str, int] | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
    cover: bytes | None = None,
    interlaced: bool = False,
) -> Path:
    """Write a clip and return its path.

    frames     how many numbered ones, or RGB arrays, or ready `av.VideoFrame`s (for exact YUV samples)
    times      the time of each frame in `time_base` units (variable rate, gaps, a late or negative start)
    colour     any of matrix, primaries, transfer, range; also used for RGB to YUV (none: BT.601 limited)
    cover      a PNG or JPEG put in as an attached picture, in a file that has no other video than the clip
    """
    rate = Fraction(rate)
    if isinstance(frames, int):
        frames = numbered(frames, width, height)
    tagged = colour or {}
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        output.metadata.update(tags or {})
        video = output.add_stream(codec, rate=rate, options=_quiet(codec, options or {}))
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        context = video.codec_context
        context.thread_count = 1
        context.time_base = time_base or 1 / rate
        if sar is not None:
            context.sample_aspect_ratio = sar
        for field, attribute in _COLOUR_ATTRIBUTES.items():
            if field in tagged:
                setattr(context, attribute, tagged[field])
        if rotation:
            video.set_display_rotation(rotation)
        if interlaced:
            context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
        tracks = [_add_sound(output, track) for track in sound]
        texts = _add_subtitle(output, subtitle) if subtitle else None
        picture = _add_cover(output, cover) if cover else None
        if chapters:
            output.set_chapters(
                [
                    {
                        "id": index,
                        "start": round(start * 1000),
                        "end": round(end * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for index, (start, end, title) in enumerate(chapters)
                ]
            )
        output.start_encoding()
        if picture is not None:
            output.mux(picture)
        for index, frame in enumerate(frames):
            picture_frame = frame if isinstance(frame, av.VideoFrame) else to_yuv(frame, pix_fmt, tagged)
            picture_frame.pts = index if times is None else times[index]
            picture_frame.time_base = context.time_base
            output.mux(video.encode(picture_frame))
        output.mux(video.encode(None))
        for track, stream in zip(sound, tracks, strict=True):
            _write_sound(output, stream, track)
        if subtitle and texts is not None:
            _write_subtitle(output, texts, subtitle)
    return path


def _quiet(codec: str, options: dict[str, str]) -> dict[str, str]:
    if codec != "libx265":
        return dict(options)
    wanted = [options.get("x265-params", ""), "log-level=none", "pools=none"]
    return {"preset": "ultrafast"} | options | {"x265-params": ":".join(filter(None, wanted))}


_COLOUR_ATTRIBUTES = {
    "matrix": "colorspace",
    "primaries": "color_primaries",
    "transfer": "color_trc",
    "range": "color_range",
}


def to_yuv(frame: Rgb, pix_fmt: str, tagged: dict[str, int]) -> av.VideoFrame:
    """RGB to YUV by the tags' matrix and range; BT.601 limited where they say nothing."""
    matrix = {1: 1, 9: 9}.get(tagged.get("matrix", 2), 5)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return picture.reformat(
        format=pix_fmt,
        dst_colorspace=matrix,
        src_color_range=2,
        dst_color_range=tagged.get("range") or 1,
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
    )


def _add_sound(output: Any, track: Sound) -> Any:
    stream = output.add_stream(track.codec, rate=track.rate, layout=track.layout)
    if track.language:
        stream.metadata["language"] = track.language
    return stream


def _write_sound(output: Any, stream: Any, track: Sound) -> None:
    channels = 1 if track.layout == "mono" else 2
    wanted = stream.codec_context.format.name
    resampler = av.AudioResampler(format=wanted, layout=track.layout, rate=track.rate)
    total, block = round(track.seconds * track.rate), 1024
    first = round(track.start_s * track.rate)
    fifo = av.AudioFifo()
    size = stream.codec_context.frame_size or block
    for start in range(0, total, block):
        moment = np.arange(start, min(start + block, total)) / track.rate
        wave = (np.sin(2 * np.pi * track.hertz * moment) * 12_000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(
            np.repeat(wave, channels)[None, :], format="s16", layout=track.layout
        )
        frame.sample_rate, frame.pts, frame.time_base = track.rate, start, Fraction(1, track.rate)
        for ready in resampler.resample(frame):
            ready.pts = None
            fifo.write(ready)
    done = 0
    while fifo.samples:
        frame = fifo.read(size, partial=True)
        frame.pts, frame.time_base = first + done, Fraction(1, track.rate)
        done += frame.samples
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _add_subtitle(output: Any, subtitle: Subtitle) -> Any:
    stream = output.add_mux_stream("mov_text" if output.format.name in {"mp4", "mov"} else "subrip")
    stream.metadata["language"] = subtitle.language
    return stream


def _write_subtitle(output: Any, stream: Any, subtitle: Subtitle) -> None:
    for start, end, text in subtitle.lines:
        data = text.encode()
        if output.format.name in {"mp4", "mov"}:
            data = len(data).to_bytes(2, "big") + data  # 3GPP timed text: a length before the text
        packet = av.Packet(data)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = round(start * 1000)
        packet.duration = round((end - start) * 1000)
        output.mux(packet)


def _add_cover(output: Any, data: bytes) -> Any:
    codec = "png" if data.startswith(b"\x89PNG") else "mjpeg"
    stream = output.add_mux_stream(codec, rate=1, width=16, height=16)
    stream.disposition = av.stream.Disposition.attached_pic
    packet = av.Packet(data)
    packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 1000)
    return packet


def make_fall(path: Path, kind: str, packet: int, fall_ms: int) -> Path:
    """Set one packet of the first such stream back, in a Matroska file; no muxer would write that."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        assert stream.time_base == Fraction(1, 1000)
        track = stream.index + 1
        block = [each.pos for each in container.demux(stream) if each.size][packet]
    data = bytearray(path.read_bytes())
    assert data[block] == 0x80 | track  # then comes its time within the cluster
    time_ms = int.from_bytes(data[block + 1 : block + 3], "big", signed=True) - fall_ms
    assert time_ms >= 0, "or FFmpeg takes it for unknown"
    data[block + 1 : block + 3] = time_ms.to_bytes(2, "big", signed=True)
    path.write_bytes(data)
    return path


def make_sound_alone(path: Path) -> Path:
    """A file with a moment of silence in Opus and no video."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.sample_rate, frame.pts = 48_000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
