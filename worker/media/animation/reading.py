"""Reads animated pictures: every frame as a viewer shows it, disposal and blending resolved, and when.

Pillow decodes them from the first frame on and cannot seek; a frame in the middle costs all before it, and
memory is that of one. Not here: how an animation is written (writing.py). Start at `look_through`.
"""

import io
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image

from service.animated import gif_frames, reader_of
from service.errors import BrokenMedia, FrameTooLarge, TooLong, UnsupportedMedia
from worker.frames import LowFrame, Planes
from worker.media.colour import settle
from worker.media.pictures.reading import colour_invisible, damage_is_broken_media
from worker.media.reading.shots.cuts import CutFinder
from worker.media.reading.shots.repeats import RepeatFinder
from worker.media.reading.shots.thumbnails import Thumbnails
from worker.media.traits import Meter, traits
from worker.media.types import Colour, Key, Limits, Source, Timeline

TIME_BASE: Final = Fraction(1, 1000)
NO_DELAY_MS: Final = 100  # what players make of a frame without a delay, or they would show none of it
_WEBP_ALPHA: Final = 0x10


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One frame as it is seen."""

    rgb: Planes  # (h, w, 3)
    alpha: Planes  # (h, w)
    delay_ms: float  # as the file has it; 0 where it says nothing


def look_through(
    path: Path,
    kind: str,
    *,
    limits: Limits,
    is_laid_on_white: bool,
    on_frame: Callable[[int], None] = lambda _count: None,
) -> tuple[Source, Timeline]:
    """Decode all frames once: what the animation is, when each is shown, which repeat, where shots start.

    kind               "gif", "webp" or "png", as sniffed
    is_laid_on_white   how the frames are going to be read
    on_frame           called after each frame with how many there were
    Raises BrokenMedia, FrameTooLarge, TooLong, or UnsupportedMedia where frames differ in size.
    """
    source, is_transparent = _describe(path, kind, limits), False
    times, time_ms, undelayed = array("q"), 0.0, 0
    repeated: list[int] = []
    finder, thumbnails, repeats, meter = CutFinder(), Thumbnails(), RepeatFinder(), Meter()
    with closing(shown(path, source)) as frames:
        for index, frame in enumerate(frames):
            times.append(max(round(time_ms), times[-1] + 1 if times else 0))
            undelayed += frame.delay_ms <= 0
            time_ms += frame.delay_ms if frame.delay_ms > 0 else NO_DELAY_MS
            if time_ms > limits.duration_s_max * 1000:
                message = f"the animation goes on after the limit of {limits.duration_s_max:.0f} s"
                raise TooLong(message, field="duration", value=limits.duration_s_max)
            is_transparent |= bool((frame.alpha < 255).any())
            low = np.ascontiguousarray(for_network(frame, is_laid_on_white=is_laid_on_white))
            picture = av.VideoFrame.from_ndarray(low, format="rgb24")
            thumbnail = thumbnails.of(picture)
            finder.add(thumbnail)
            meter.add(picture)
            if repeats.is_repeat(picture, thumbnail):
                repeated.append(index)
            on_frame(index + 1)
    if not times:
        raise BrokenMedia("the animation holds no frame", field="frames", value=0)
    notice = f"{undelayed} frames have no delay; they are shown for {NO_DELAY_MS} ms, as players show them"
    timeline = Timeline(
        time_base=TIME_BASE,
        times=tuple(times),
        duration=max(round(time_ms) - times[-1], 1),
        keys=(Key(0, Key.FILE_START),),
        cuts=finder.finish(),
        repeats=tuple(repeated),
        traits=traits(meter.finish()),
        notices=(notice,) if undelayed else (),
    )
    return replace(source, pix_fmt="rgba" if is_transparent else "rgb24"), timeline


def decode(
    path: Path,
    source: Source,
    start: int,
    stop: int,
    *,
    is_laid_on_white: bool,
    on_picture: Callable[[], None] = lambda: None,
) -> Generator[LowFrame]:
    """Frames [start, stop) for the network, (h, w, 3). Raises BrokenMedia if there are fewer.

    on_picture   called for every frame decoded, also for those that come before the wanted ones
    """
    frame_next = start
    with closing(shown(path, source)) as frames:
        for index, frame in enumerate(islice(frames, stop)):
            on_picture()
            if index >= start:
                yield for_network(frame, is_laid_on_white=is_laid_on_white)
                frame_next += 1
    if frame_next < stop:
        message = f"frame {frame_next} was there when the file was read first and is not now"
        raise BrokenMedia(message, field="frame", value=frame_next)


def for_network(frame: Shown, *, is_laid_on_white: bool) -> LowFrame:
    """What is enlarged of a frame: on white, or with invisible pixels in the colour of their neighbours."""
    if not is_laid_on_white:
        return colour_invisible(frame.rgb, frame.alpha)
    alpha = frame.alpha[..., None].astype(np.uint16)
    return ((frame.rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def shown(path: Path, source: Source) -> Generator[Shown]:
    """Every frame in order. Exhaust it or close it: it holds the file open."""
    with damage_is_broken_media(source.container), _opened(path, source.container) as image:
        for _ in _sought(image):
            if image.size != (source.width, source.height):
                found = f"{image.size[0]}x{image.size[1]}"
                raise UnsupportedMedia(
                    "the animation changes its size on the way", field="frame_size", value=found
                )
            bands = np.asarray(image.convert("RGBA"))
            # Pillow knows a WebP frame's delay only once the frame is decoded.
            yield Shown(bands[..., :3].copy(), bands[..., 3].copy(), float(image.info.get("duration") or 0))


def _sought(image: Image.Image) -> Iterator[int]:
    """Go from frame to frame, without the picture that an APNG may hold for who knows no animation."""
    index = 1 if getattr(image, "default_image", False) else 0
    while True:
        try:
            image.seek(index)
        except EOFError:
            return
        yield index
        index += 1


def _opened(path: Path, kind: str) -> Image.Image:
    if kind != "webp":
        return Image.open(path, formats=[kind.upper()])
    # libwebp leaves the flag for alpha out where every frame is an opaque piece of the canvas, and Pillow
    # then shows black where there is nothing. It reads the whole file into memory in any case.
    content = bytearray(path.read_bytes())
    if content[12:16] == b"VP8X":
        content[20] |= _WEBP_ALPHA
    return Image.open(io.BytesIO(content), formats=["WEBP"])


def _describe(path: Path, kind: str, limits: Limits) -> Source:
    with damage_is_broken_media(kind), _opened(path, kind) as image:
        width, height = image.size
        if width * height > limits.pixels_max:
            message = f"the animation is {width}x{height}; the limit is {limits.pixels_max} pixels a frame"
            raise FrameTooLarge(message, field="frame_size", value=f"{width}x{height}")
        if kind == "gif":
            _check_boxes(path, width, height)
        loop = image.info.get("loop")
        has_profile = bool(image.info.get("icc_profile"))
    colour, _ = settle(Colour(), height=height, is_rgb=True, is_full=True)
    return Source(
        kind="animation",
        container=kind,
        codec=kind,
        width=width,
        height=height,
        pix_fmt="rgba",
        time_base=TIME_BASE,
        colour=colour,
        plays=_plays(kind, loop),
        notices=("the ICC profile was dropped: colours are taken as sRGB",) if has_profile else (),
    )


def _plays(kind: str, loop: int | None) -> int:
    """How often in all, 0 for ever. A GIF counts the times after the first, if there are any."""
    if kind != "gif":
        return loop or 0
    return 1 if loop is None else loop + 1 if loop else 0


def _check_boxes(path: Path, width: int, height: int) -> None:
    """Pillow would make room for a frame beyond the canvas, whatever its size, before we can see it."""
    with reader_of(path) as read:
        for index, (left, top, frame_width, frame_height) in enumerate(gif_frames(read)):
            if left + frame_width > width or top + frame_height > height:
                message = f"frame {index} reaches beyond the canvas of {width}x{height}"
                found = f"{frame_width}x{frame_height}+{left}+{top}"
                raise BrokenMedia(message, field="frame_size", value=found)
