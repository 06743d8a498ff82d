"""Animated WebP, frame by frame: libwebp compresses each by Pillow, here it gets its time and place.

Pillow's own writer wants all frames at once. Source: RFC 9649, the WebP container.
"""

import io
import struct
from typing import BinaryIO, Final

from PIL import Image

from worker.frames import Planes
from worker.media.animation.boxes import box_of, changed
from worker.media.pictures.writing import QUALITY_DEFAULT

_ANIMATION, _ALPHA = 0x02, 0x10
_NO_BLEND: Final = 0x02
_PLAYS_MAX: Final = 0xFFFF


class WebpWriter:
    """quality   1 to 100, which is lossless"""

    def __init__(self, file: BinaryIO, size: tuple[int, int], *, plays: int, quality: int | None) -> None:
        self._file, self._size, self._plays = file, size, plays
        self._quality = QUALITY_DEFAULT["webp"] if quality is None else quality
        self._before: Planes | None = None

    def add(self, canvas: Planes, delay_ms: int) -> None:
        if self._before is None:
            self._begin(has_alpha=canvas.shape[2] == 4)
        left, top, right, bottom = box_of(changed(self._before, canvas), step=2)  # places are in pairs
        place = (left // 2, top // 2, right - left - 1, bottom - top - 1, delay_ms)
        head = b"".join(number.to_bytes(3, "little") for number in place) + bytes([_NO_BLEND])
        self._write(b"ANMF", head + self._compressed(canvas[top:bottom, left:right]))
        self._before = canvas

    def finish(self) -> None:
        length = self._file.tell()
        self._file.seek(4)
        self._file.write(struct.pack("<I", length - 8))
        self._file.seek(length)

    def _begin(self, *, has_alpha: bool) -> None:
        self._file.write(b"RIFF\0\0\0\0WEBP")  # the length is known at the end
        width, height = self._size
        flags = _ANIMATION | (_ALPHA if has_alpha else 0)
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        self._write(b"VP8X", bytes([flags, 0, 0, 0]) + sides)
        self._write(b"ANIM", struct.pack("<IH", 0, min(self._plays, _PLAYS_MAX)))

    def _write(self, name: bytes, content: bytes) -> None:
        self._file.write(name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2))

    def _compressed(self, pixels: Planes) -> bytes:
        """A still's chunks of pixels: VP8L, or VP8 with ALPH before it."""
        still = io.BytesIO()
        Image.fromarray(pixels).save(
            still, "WEBP", quality=self._quality, lossless=self._quality >= 100, method=4
        )
        file, at, found = still.getbuffer(), 12, []
        while at < len(file):
            name, length = struct.unpack("<4sI", file[at : at + 8])
            stop = at + 8 + (length + 1) // 2 * 2
            if name in (b"ALPH", b"VP8 ", b"VP8L"):
                found.append(bytes(file[at:stop]))
            at = stop
        return b"".join(found)
