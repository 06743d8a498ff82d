"""Animated pictures: whether a GIF, WebP or PNG shows more than one frame, by its blocks and no decoding.

Pure Python, for whoever takes an upload: the answer decides what may be asked of it. Files are read through
`read(start, stop)`, a few bytes at a time. Not here: pixels and times (worker/media/animation).
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

Read = Callable[[int, int], bytes]  # bytes [start, stop) of the file, fewer at its end
Box = tuple[int, int, int, int]  # left, top, width, height of one frame on its canvas

_READS_MAX: Final = 1 << 20  # before a second frame is seen: a GIF's first may have 268 MB, at 255 bytes each


def is_animated(kind: str, read: Read) -> bool:
    """Whether a file of that kind ("gif", "webp", "png"; any other is not) holds more than one frame.

    A file that ends early is told by what is there: whoever decodes it will say what is broken.
    """
    walk = {"gif": gif_frames, "webp": _webp_frames, "png": _png_frames}.get(kind)
    if walk is None:
        return False
    frames = walk(_bounded(read))
    return next(frames, None) is not None and next(frames, None) is not None


@contextmanager
def reader_of(path: Path) -> Iterator[Read]:
    """A local file, for `is_animated` and `gif_frames`."""
    with path.open("rb") as file:

        def read(start: int, stop: int) -> bytes:
            file.seek(start)
            return file.read(stop - start)

        yield read


def _bounded(read: Read) -> Read:
    """As if the file ended after so many reads: blocks without content would go on for minutes."""
    reads = count()
    return lambda start, stop: read(start, stop) if next(reads) < _READS_MAX else b""


def gif_frames(read: Read) -> Iterator[Box]:
    """Where each frame of a GIF lies on its canvas."""
    head = read(0, 13)
    if len(head) < 13:
        return
    at = 13 + _table_bytes(head[10])
    while block := read(at, at + 10):
        if block[0] == 0x21:  # an extension
            at = _after_blocks(read, at + 2)
        elif block[0] == 0x2C and len(block) == 10:
            yield struct.unpack("<4H", block[1:9])
            at = _after_blocks(read, at + 11 + _table_bytes(block[9]))
        else:  # the trailer, or nothing that a decoder would go on from
            return


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(read: Read, at: int) -> int:
    while (length := read(at, at + 1)) and length[0]:
        at += 1 + length[0]
    return at + 1


def _webp_frames(read: Read) -> Iterator[bytes]:
    at = 12
    while len(head := read(at, at + 8)) == 8:
        if head[:4] == b"ANMF":
            yield head
        at += 8 + (struct.unpack("<I", head[4:])[0] + 1) // 2 * 2


def _png_frames(read: Read) -> Iterator[bytes]:
    """A frame for each control chunk; one without any is the picture for viewers that know no animation."""
    at, is_animation = 8, False
    while len(head := read(at, at + 8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"acTL":
            is_animation = True
        elif name == b"IDAT" and not is_animation:
            return
        elif name == b"fcTL" and is_animation:
            yield head
        at += 12 + length
