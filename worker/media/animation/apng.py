"""APNG, frame by frame: Pillow compresses each, here it gets its time and place.

Pillow's own writer holds all frames until the last. Source: the PNG specification, third edition, chapter 11.
"""

import io
import struct
import zlib
from typing import BinaryIO, Final

from PIL import Image

from worker.frames import Planes
from worker.media.animation.boxes import box_of, changed

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_RGB, _RGBA = 2, 6
_U16_MAX: Final = 0xFFFF


class ApngWriter:
    def __init__(self, file: BinaryIO, size: tuple[int, int], *, plays: int, frame_count: int) -> None:
        self._file, self._size = file, size
        self._plays, self._frame_count = plays, frame_count
        self._before: Planes | None = None
        self._number = 0  # of control and data chunks together

    def add(self, canvas: Planes, delay_ms: int) -> None:
        is_first = self._before is None
        if is_first:
            self._begin(canvas)
        left, top, right, bottom = box_of(changed(self._before, canvas))
        numerator, denominator = delay_ms, 1000
        while numerator > _U16_MAX:  # a whole number of longer steps, then (writing.py)
            numerator, denominator = numerator // 10, denominator // 10
        box = struct.pack(">4I", right - left, bottom - top, left, top)
        # Left as it is drawn, and drawn over what was there: no dispose, no blend.
        self._write(b"fcTL", self._numbered() + box + struct.pack(">HHBB", numerator, denominator, 0, 0))
        pixels = _compressed(canvas[top:bottom, left:right])
        if is_first:
            self._write(b"IDAT", pixels)
        else:
            self._write(b"fdAT", self._numbered() + pixels)
        self._before = canvas

    def finish(self) -> None:
        self._write(b"IEND", b"")

    def _begin(self, canvas: Planes) -> None:
        self._file.write(_SIGNATURE)
        colour = _RGBA if canvas.shape[2] == 4 else _RGB
        self._write(b"IHDR", struct.pack(">IIBBBBB", *self._size, 8, colour, 0, 0, 0))
        self._write(b"acTL", struct.pack(">II", self._frame_count, self._plays))

    def _numbered(self) -> bytes:
        self._number += 1
        return struct.pack(">I", self._number - 1)

    def _write(self, name: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">I", len(content)) + name + content)
        self._file.write(struct.pack(">I", zlib.crc32(name + content)))


def _compressed(pixels: Planes) -> bytes:
    """The content of all IDAT chunks of a still."""
    still = io.BytesIO()
    Image.fromarray(pixels).save(still, "PNG")
    file, at, found = still.getbuffer(), len(_SIGNATURE), []
    while at < len(file):
        length, name = struct.unpack(">I4s", file[at : at + 8])
        if name == b"IDAT":
            found.append(bytes(file[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join(found)
