"""Pixel aspect in a Matroska file: the display size that FFmpeg would write if PyAV let us tell it.

H.264 and HEVC carry the aspect in their own headers too, FFV1 does where few readers look. The muxer is made
to leave room in the track's name; `set_display_size` then rewrites that one track entry in place and in its
length, so that no offset in the file changes. https://www.matroska.org/technical/elements.html
"""

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from service.errors import OutputInvalid

ROOM = "\x7f" * 24  # to be put behind the track's name; over 18 bytes of elements and their longer size

_SEGMENT, _TRACKS, _TRACK, _NAME, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0x536E, 0xE0
_CRC, _VOID = 0xBF, 0xEC
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_PIXELS, _RATIO = 0, 3  # display units
_HEAD_BYTES = 1 << 20  # the tracks stand before the first frame; cover pictures come after them


class _Element(NamedTuple):
    id: int
    start: int  # of the element
    body: int  # of its content
    stop: int


def set_display_size(path: Path, width: int, height: int, sar: Fraction) -> None:
    """Replace `ROOM` in the name of the first track by the display size of its picture."""
    with path.open("r+b") as file:
        head = bytearray(file.read(_HEAD_BYTES))
        segment = _child(head, _Element(0, 0, 0, len(head)), _SEGMENT)
        tracks = _child(head, segment, _TRACKS)
        track = _child(head, tracks, _TRACK)
        head[track.body : track.stop] = _rebuilt(head, track, _display_size(width, height, sar))
        first = next(_children(head, tracks))
        if first.id == _CRC:
            head[first.body : first.stop] = struct.pack("<I", zlib.crc32(head[first.stop : tracks.stop]))
        file.seek(0)
        file.write(head)


def _rebuilt(head: bytearray, track: _Element, display: bytes) -> bytes:
    """The content of the track entry, in its old length, with the display size and without the room."""
    content = b""
    for child in _children(head, track):
        body = bytes(head[child.body : child.stop])
        if child.id == _NAME:
            name = body.removesuffix(ROOM.encode())
            content += _element(_NAME, name) if name else b""
        elif child.id == _VIDEO:
            content += _element(_VIDEO, body + display)
        else:
            content += head[child.start : child.stop]
    spare = track.stop - track.body - len(content)
    if spare < 2:
        raise OutputInvalid("the track has no room for the display size", field="pixel_aspect", value=spare)
    return content + _element(_VOID, b"\0" * (spare - 2))


def _display_size(width: int, height: int, sar: Fraction) -> bytes:
    shown = width * sar
    unit = _PIXELS
    if shown.denominator != 1:  # no whole number of pixels: Matroska can name the ratio of the sides instead
        unit = _RATIO
        shown, height = Fraction((shown / height).numerator), (shown / height).denominator
    return (
        _element(_DISPLAY_WIDTH, int(shown).to_bytes(4, "big"))
        + _element(_DISPLAY_HEIGHT, height.to_bytes(4, "big"))
        + _element(_DISPLAY_UNIT, bytes([unit]))
    )


def _element(kind: int, body: bytes) -> bytes:
    size = len(body)
    length = 1 if size < 0x7F else 2  # all that is rebuilt here is short
    assert size < 0x3FFF
    marked = size | 1 << 7 * length
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + marked.to_bytes(length, "big") + body


def _child(head: bytearray, parent: _Element, kind: int) -> _Element:
    for child in _children(head, parent):
        if child.id == kind:
            return child
    raise OutputInvalid("the file has no video track entry", field="pixel_aspect", value=hex(kind))


def _children(head: bytearray, parent: _Element) -> Iterator[_Element]:
    place = parent.body
    while place < parent.stop:
        kind_bytes = 9 - head[place].bit_length()
        size_bytes = 9 - head[place + kind_bytes].bit_length()
        kind = int.from_bytes(head[place : place + kind_bytes], "big")
        body = place + kind_bytes + size_bytes
        size = int.from_bytes(head[place + kind_bytes : body], "big") & (1 << 7 * size_bytes) - 1
        stop = min(body + size, len(head))
        yield _Element(kind, place, body, stop)
        place = stop
