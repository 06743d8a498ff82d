"""GIF, frame by frame: a palette for each shot, and a pattern of dots that stays where it is.

One palette for all frames of a shot, and an ordered pattern in place of diffused errors, keep what stands
still from swarming. Pillow chooses and compresses; its own writer holds all frames until the last.
Source: the GIF89a specification.
"""

import io
import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.frames import Planes
from worker.media.animation.boxes import box_of, changed

COLOURS_MAX: Final = 255  # one of 256 stands for "nothing is drawn here"
NOTHING: Final = 255
VISIBLE_MIN: Final = 128  # of alpha
_FRAMES_SAMPLED_MAX: Final = 64  # of a shot
_SIDE_SAMPLED: Final = 96  # of a frame's pixels each way; 64 such frames are 2 MB
_DOTS_LEVELS_MAX: Final = 24.0
_DOTS_WORTH_LEVELS: Final = 1.0  # a palette that fits better needs none, and they cost bytes
_LEAVE, _CLEAR = 1, 2  # what becomes of a frame when the next one is due
_PLAYS_MAX: Final = 0xFFFF


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    image: Image.Image  # as Pillow takes it, with at most COLOURS_MAX colours
    table: bytes  # 256 colours
    dots_levels: float  # how strong the pattern is: as far as colours of the shot are from the palette's


def palettes_of(
    canvases: Iterable[Planes], starts: Sequence[int], frame_count: int
) -> list[tuple[int, Palette]]:
    """First frame and palette of each shot, from some pixels of some of its frames; starts at 0 first."""
    stops = [*starts[1:], frame_count]
    found: list[tuple[int, Palette]] = []
    samples: list[Planes] = []
    for index, canvas in enumerate(canvases):
        shot = bisect_right(starts, index) - 1
        every = -(-(stops[shot] - starts[shot]) // _FRAMES_SAMPLED_MAX)
        if (index - starts[shot]) % every == 0:
            samples.append(_sampled(canvas))
        if index + 1 == stops[shot]:
            found.append((starts[shot], _palette(np.concatenate(samples))))
            samples = []
    return found


class GifWriter:
    def __init__(
        self, file: BinaryIO, size: tuple[int, int], *, plays: int, palettes: Sequence[tuple[int, Palette]]
    ) -> None:
        self._file, self._size = file, size
        self._starts, self._palettes = [start for start, _ in palettes], [p for _, p in palettes]
        self._index = 0
        self._before: Planes | None = None
        self._begin(plays)

    def add(self, canvas: Planes, delay_ms: int) -> None:
        palette = self._palettes[bisect_right(self._starts, self._index) - 1]
        has_alpha = canvas.shape[2] == 4
        # A pixel can't be made transparent again, so what has holes is cleared and drawn anew each time.
        drawn = canvas[..., 3] >= VISIBLE_MIN if has_alpha else changed(self._before, canvas)
        left, top, right, bottom = box = box_of(drawn)
        indexes = _indexes(canvas[..., :3], box, palette)
        indexes[~drawn[top:bottom, left:right]] = NOTHING
        dispose = _CLEAR if has_alpha else _LEAVE
        self._file.write(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, dispose << 2 | 1, delay_ms // 10, NOTHING, 0))
        local = b"" if palette is self._palettes[0] else palette.table
        flags = 0x87 if local else 0
        self._file.write(struct.pack("<B4HB", 0x2C, left, top, right - left, bottom - top, flags) + local)
        self._file.write(_compressed(indexes))
        self._before, self._index = canvas, self._index + 1

    def finish(self) -> None:
        self._file.write(b";")

    def _begin(self, plays: int) -> None:
        self._file.write(b"GIF89a" + struct.pack("<HHBBB", *self._size, 0xF7, NOTHING, 0))
        self._file.write(self._palettes[0].table)
        if plays != 1:  # what is written are the times after the first; 0 is for ever
            again = min(max(plays - 1, 0), _PLAYS_MAX)
            self._file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", again, 0))


def _sampled(canvas: Planes) -> Planes:
    """(n, 3): visible pixels, evenly from the whole canvas."""
    height, width = canvas.shape[:2]
    thin = canvas[:: -(-height // _SIDE_SAMPLED), :: -(-width // _SIDE_SAMPLED)]
    thin = thin.reshape(-1, thin.shape[2])
    return thin[thin[:, 3] >= VISIBLE_MIN, :3] if thin.shape[1] == 4 else thin


def _palette(pixels: Planes) -> Palette:
    """pixels: (n, 3), perhaps none"""
    picture = Image.fromarray(pixels[None] if len(pixels) else np.zeros((1, 1, 3), np.uint8))
    image = picture.quantize(COLOURS_MAX, Image.Quantize.MEDIANCUT, kmeans=1)
    table = bytes(image.getpalette("RGB") or ())[: 3 * COLOURS_MAX]
    mapped = np.asarray(picture.quantize(palette=image, dither=Image.Dither.NONE).convert("RGB"))
    off_levels = float(np.abs(mapped.astype(np.int16) - np.asarray(picture)).mean())
    dots_levels = 0.0 if off_levels < _DOTS_WORTH_LEVELS else min(2 * off_levels, _DOTS_LEVELS_MAX)
    return Palette(image, table.ljust(768, b"\0"), dots_levels)


def _dots() -> NDArray[np.float32]:
    """Bayer's pattern of 8x8, from -0.5 to 0.5."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    return ((pattern + 0.5) / 64 - 0.5).astype(np.float32)


_DOTS: Final = _dots()


def _indexes(rgb: Planes, box: tuple[int, int, int, int], palette: Palette) -> NDArray[np.uint8]:
    """The palette's colours for a box of the canvas, (bottom - top, right - left)."""
    left, top, right, bottom = box
    rows, columns = np.arange(top, bottom) % 8, np.arange(left, right) % 8
    dots = palette.dots_levels * _DOTS[np.ix_(rows, columns)][..., None]
    dotted = np.clip(np.rint(rgb[top:bottom, left:right] + dots), 0, 255).astype(np.uint8)
    mapped = Image.fromarray(dotted).quantize(palette=palette.image, dither=Image.Dither.NONE)
    return np.array(mapped)


def _compressed(indexes: NDArray[np.uint8]) -> bytes:
    """The blocks of pixels of a still."""
    still = io.BytesIO()
    image = Image.fromarray(indexes, mode="P")
    image.putpalette(bytes(768))
    image.save(still, "GIF", optimize=False, interlace=0)
    file = still.getvalue()
    at = 13 + (3 << (file[10] & 7) + 1 if file[10] & 0x80 else 0)
    while file[at] == 0x21:
        at += 2
        while file[at]:
            at += 1 + file[at]
        at += 1
    flags = file[at + 9]
    return file[at + 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0) : -1]
