"""Signatures: what a file says it is by its first bytes, and how large a picture says it is.

Pure Python and no decoding: an upload is refused before 202 for what can be known cheaply; everything else is
the planner's to find, with real decoders. A picture's header is read through `read(start, stop)`, because a
JPEG keeps its size behind any amount of metadata and a TIFF anywhere. Start at `sniff`, then `picture_size`.
"""

import re
import struct
from collections.abc import Callable
from typing import Literal

Kind = Literal["mp4", "matroska", "avi", "png", "jpeg", "webp", "tiff", "bmp", "gif", "avif", "heif"]
Read = Callable[[int, int], bytes]  # bytes [start, stop) of the file, fewer at its end

SNIFF_BYTES = 64  # enough for every signature below

# The box types an ISO base media or QuickTime file may start with; `pnot` and `skip` are old QuickTime's.
_ISO_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"})
_AVIF_HEADER_BYTES = 4096  # before the pixels; what is meant for viewers may follow them
_SEGMENTS_MAX = 4096  # headers walked in one JPEG or TIFF; a longer chain is not a picture anyone made


def sniff(head: bytes) -> Kind | None:
    """The kind of file that starts with `head` (SNIFF_BYTES are enough), or None if it is no known media."""
    if head[4:8] in _ISO_FIRST_BOXES:
        return _iso_kind(head) if head[4:8] == b"ftyp" else "mp4"
    if head[:4] == b"RIFF":
        form = head[8:12]
        return "avi" if form == b"AVI " else "webp" if form == b"WEBP" else None
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    return None


def _iso_kind(head: bytes) -> Kind:
    """By the first of its brands, and of a picture by all that are seen: both kinds may begin with mif1."""
    first = head[8:12]
    if first not in _AVIF_BRANDS | _HEIF_BRANDS:
        return "mp4"
    stop = min(int.from_bytes(head[:4], "big"), len(head))
    others = {head[at : at + 4] for at in range(16, stop - 3, 4)}
    return "avif" if _AVIF_BRANDS & {first, *others} else "heif"


_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"BM", "bmp"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


def picture_size(kind: Kind, read: Read) -> tuple[int, int] | None:
    """(width, height) as the header declares them, before any rotation; None if the header does not tell."""
    reader = _READERS.get(kind)
    if reader is None:
        return None
    try:
        return reader(read)
    except struct.error:  # the file ends inside its header: the planner will say what is broken
        return None


def _png(read: Read) -> tuple[int, int] | None:
    head = read(0, 24)
    return struct.unpack(">II", head[16:24]) if head[12:16] == b"IHDR" else None


def _gif(read: Read) -> tuple[int, int]:
    return struct.unpack("<HH", read(6, 10))


def _bmp(read: Read) -> tuple[int, int]:
    head = read(0, 26)
    (header_bytes,) = struct.unpack("<I", head[14:18])
    if header_bytes == 12:  # OS/2 1.x
        return struct.unpack("<HH", head[18:22])
    width, height = struct.unpack("<ii", head[18:26])
    return abs(width), abs(height)  # a negative height means top row first


def _webp(read: Read) -> tuple[int, int] | None:
    head = read(0, 30)
    chunk = head[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if chunk == b"VP8L":
        (bits,) = struct.unpack("<I", head[21:25])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(read: Read) -> tuple[int, int] | None:
    """Walk the markers to the frame header, the only one that knows the size."""
    at = 2
    for _ in range(_SEGMENTS_MAX):
        marker, code, length = struct.unpack(">BBH", read(at, at + 4))
        if marker != 0xFF:
            return None
        if code == 0xFF:  # a fill byte before the marker
            at += 1
        elif 0xC0 <= code <= 0xCF and code not in {0xC4, 0xC8, 0xCC}:  # start of frame, not tables
            height, width = struct.unpack(">HH", read(at + 5, at + 9))
            return width, height
        elif code in {0xD9, 0xDA}:  # pixels or the end, before any frame header
            return None
        else:
            at += 2 + length
    return None


def _tiff(read: Read) -> tuple[int, int] | None:
    """The largest picture among the pages: thumbnails come first in some files."""
    head = read(0, 16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(order + "H", head[2:4]) == (43,)
    count_format, entry_bytes, offset_format = ("Q", 20, "Q") if big else ("H", 12, "I")
    (at,) = struct.unpack(order + offset_format, head[8:16] if big else head[4:8])
    largest: tuple[int, int] | None = None
    for _ in range(_SEGMENTS_MAX):
        if at == 0:
            break
        count_bytes, offset_bytes = struct.calcsize(count_format), struct.calcsize(offset_format)
        (count,) = struct.unpack(order + count_format, read(at, at + count_bytes))
        entries_at = at + count_bytes
        entries = read(entries_at, entries_at + min(count, _SEGMENTS_MAX) * entry_bytes)
        size = _tiff_page(entries, entry_bytes, order)
        if size and (largest is None or size[0] * size[1] > largest[0] * largest[1]):
            largest = size
        next_at = entries_at + count * entry_bytes
        (following,) = struct.unpack(order + offset_format, read(next_at, next_at + offset_bytes))
        if following <= at:  # pages that point backwards would be walked in a circle
            break
        at = following
    return largest


def _tiff_page(entries: bytes, entry_bytes: int, order: str) -> tuple[int, int] | None:
    values: dict[int, int] = {}
    value_at = 12 if entry_bytes == 20 else 8
    for start in range(0, len(entries) - entry_bytes + 1, entry_bytes):
        tag, field_type = struct.unpack(order + "HH", entries[start : start + 4])
        value_format = {3: "H", 4: "I", 16: "Q"}.get(field_type)
        if tag in {256, 257} and value_format:
            begin = start + value_at
            (values[tag],) = struct.unpack(
                order + value_format, entries[begin : begin + struct.calcsize(value_format)]
            )
    return (values[256], values[257]) if len(values) == 2 else None


def _avif(read: Read) -> tuple[int, int] | None:
    """The largest of the sizes that the header lists: of the picture, its tiles, its transparency."""
    head = read(0, _AVIF_HEADER_BYTES)
    places = (place.end() + 4 for place in re.finditer(b"ispe", head))  # past version and flags
    sizes = [struct.unpack(">II", head[at : at + 8]) for at in places if at + 8 <= len(head)]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


_READERS: dict[Kind, Callable[[Read], tuple[int, int] | None]] = {
    "png": _png,
    "gif": _gif,
    "bmp": _bmp,
    "webp": _webp,
    "jpeg": _jpeg,
    "tiff": _tiff,
    "avif": _avif,
}
