"""The frame sizes that a video file declares in its header, read without FFmpeg.

FFmpeg drops a size it finds absurd and goes on, so it cannot tell what was declared; and by the time it can,
it may have allocated frames. Pure Python, a few kilobytes read, loops bounded. Start at `declared_sizes`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

Size = tuple[int, int]

_ELEMENTS_MAX = 20_000  # boxes, chunks or elements looked at in one file


def declared_sizes(path: Path, kind: str) -> list[Size]:
    """(width, height) of each video track as declared; empty where the header is not readable this way."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        return list(_READERS[kind](file, 0, end))


def _iso(file: BinaryIO, start: int, stop: int) -> Iterator[Size]:
    """ISO base media and QuickTime: the sample descriptions of video tracks."""
    is_video = False
    for name, place, after in _boxes(file, start, stop):
        if name in {b"trak", b"vmhd"}:  # a video media header, which only video tracks have
            is_video = name == b"vmhd"
        if name == b"stsd" and is_video:
            file.seek(place + 8)  # past version and count of entries
            entry = file.read(min(after - place - 8, 36))
            yield int.from_bytes(entry[32:34], "big"), int.from_bytes(entry[34:36], "big")


_ISO_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Boxes below the parents that lead to sample descriptions, as (name, first byte, one past the last)."""
    spans = [(start, stop)]
    for _ in range(_ELEMENTS_MAX):
        while spans and spans[-1][0] + 8 > spans[-1][1]:
            spans.pop()
        if not spans:
            return
        place, after = spans.pop()
        file.seek(place)
        head = file.read(16)
        size, name, header = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        box_after = after if size == 0 else min(place + max(size, header), after)
        spans.append((box_after, after))
        if name in _ISO_PARENTS:
            spans.append((place + header, box_after))
        yield name, place + header, box_after


def _riff(file: BinaryIO, start: int, stop: int) -> Iterator[Size]:
    """AVI: the bitmap headers of video streams."""
    place, is_video = start + 12, False
    for _ in range(_ELEMENTS_MAX):
        if place + 8 > stop:
            return
        file.seek(place)
        head = file.read(24)
        name, size = head[:4], int.from_bytes(head[4:8], "little")
        if name == b"LIST" and head[8:12] in {b"hdrl", b"strl"}:
            place += 12  # into the list
            continue
        if name == b"LIST" and head[8:12] == b"movi":
            return
        if name == b"strh":
            is_video = head[8:12] == b"vids"
        if name == b"strf" and is_video:
            # A negative height means that rows are stored from the top.
            yield abs(_signed(head[12:16])), abs(_signed(head[16:20]))
        place += 8 + size + size % 2


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_PIXEL_WIDTH, _PIXEL_HEIGHT, _CLUSTER = 0xB0, 0xBA, 0x1F43B675
TO_VIDEO = frozenset({_SEGMENT, _TRACKS, _ENTRY, _VIDEO})  # elements that lead to what is said of the picture


def _ebml(file: BinaryIO, start: int, stop: int) -> Iterator[Size]:
    """Matroska and WebM: the pixel sizes of video tracks."""
    width = 0
    for name, value in ebml_numbers(file, start, stop, parents=TO_VIDEO):
        if name == _PIXEL_HEIGHT:
            yield width, value
        if name in {_PIXEL_WIDTH, _PIXEL_HEIGHT}:
            width = value


def ebml_numbers(
    file: BinaryIO, start: int, stop: int, *, parents: frozenset[int]
) -> Iterator[tuple[int, int]]:
    """Elements before the first cluster as (id, value read as a number), below those parents as well."""
    place = start
    for _ in range(_ELEMENTS_MAX):
        if place + 2 > stop:
            return
        file.seek(place)
        name, at = _number(file.read(8), keep_marker=True)
        file.seek(place + at)
        size, length = _number(file.read(8), keep_marker=False)
        if not at or not length or name == _CLUSTER:
            return
        place += at + length
        if name in parents:
            continue  # into the element
        file.seek(place)
        yield name, int.from_bytes(file.read(min(size, 8)), "big")
        place += size


def _number(data: bytes, *, keep_marker: bool) -> tuple[int, int]:
    """An EBML number and how many bytes it takes; (0, 0) if there is none."""
    if not data or not data[0]:
        return 0, 0
    length = 9 - data[0].bit_length()
    value = int.from_bytes(data[:length], "big")
    return (value if keep_marker else value & ~(1 << 7 * length)), length


_READERS: dict[str, Callable[[BinaryIO, int, int], Iterator[Size]]] = {
    "mp4": _iso,
    "mov": _iso,
    "matroska": _ebml,
    "webm": _ebml,
    "avi": _riff,
}
