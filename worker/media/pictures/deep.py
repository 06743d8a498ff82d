"""PNG and TIFF of sixteen bits a sample, which Pillow writes of grey alone: by FFmpeg's encoders.

PyAV has no way to hand those a colour profile or EXIF, so these are put into the finished file: chunks into a
PNG, an entry into a TIFF's directory. Not here: what a picture is (picture.py).
"""

import struct
import zlib
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

DEEP_KINDS: Final = frozenset({"png", "tiff"})

_PIX_FMTS: Final = {1: "gray16", 3: "rgb48", 4: "rgba64"}  # by the number of bands
_ORDERS: Final = {"png": "be", "tiff": "le"}
_OPTIONS: Final = {
    "png": {"pred": "mixed"},
    "tiff": {"compression_algo": "deflate"},
}
_PNG_HEAD_BYTES: Final = 8 + 25  # signature and IHDR
_EXIF_MARK: Final = b"Exif\0\0"  # before the TIFF structure where JPEG holds it
_ENTRY: Final = struct.Struct("<HHII")  # tag, type, count, value or offset
_ICC_TAG, _UNDEFINED, _EXTRA_SAMPLES_TAG, _SHORT, _UNASSOCIATED = 34675, 7, 338, 3, 2


def encode_deep(
    bands: NDArray[np.uint16], kind: str, *, icc: bytes | None = None, exif: bytes | None = None
) -> bytes:
    """(h, w, 1, 3 or 4), grey or RGB with alpha or without, as a file. A TIFF takes no EXIF."""
    height, width, count = bands.shape
    order = _ORDERS[kind]
    frame = av.VideoFrame(width, height, _PIX_FMTS[count] + order)
    plane = frame.planes[0]
    rows = np.zeros((height, plane.line_size // 2), ">u2" if order == "be" else "<u2")
    rows[:, : width * count] = bands.reshape(height, width * count)
    plane.update(rows.tobytes())
    context = av.CodecContext.create(kind, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, frame.format.name
    context.options = _OPTIONS[kind]
    content = b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))
    if kind == "png":
        return _with_chunks(content, icc, exif)
    entries = []
    if count == 4:
        entries.append((_EXTRA_SAMPLES_TAG, _SHORT, 1, struct.pack("<I", _UNASSOCIATED)))
    if icc:
        entries.append((_ICC_TAG, _UNDEFINED, len(icc), icc))
    return _with_entries(content, entries)


def _with_chunks(png: bytes, icc: bytes | None, exif: bytes | None) -> bytes:
    chunks = b""
    if icc:
        chunks += _chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc))
    if exif:
        chunks += _chunk(b"eXIf", exif.removeprefix(_EXIF_MARK))
    return png[:_PNG_HEAD_BYTES] + chunks + png[_PNG_HEAD_BYTES:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _with_entries(tiff: bytes, added: list[tuple[int, int, int, bytes]]) -> bytes:
    """A little-endian TIFF with further entries, (tag, type, count, value), in a new directory at its end."""
    [place] = struct.unpack_from("<I", tiff, 4)
    [count] = struct.unpack_from("<H", tiff, place)
    entries = {
        entry[0]: entry
        for entry in (_ENTRY.unpack_from(tiff, place + 2 + _ENTRY.size * index) for index in range(count))
    }
    end = bytearray(b"\0" * (len(tiff) % 2))  # what follows starts at even places
    for tag, kind, length, value in added:
        if len(value) <= 4:
            entries[tag] = tag, kind, length, *struct.unpack("<I", value)
        else:
            entries[tag] = tag, kind, length, len(tiff) + len(end)
            end += value + b"\0" * (len(value) % 2)
    directory = len(tiff) + len(end)
    end += struct.pack("<H", len(entries))
    end += b"".join(_ENTRY.pack(*entries[tag]) for tag in sorted(entries)) + bytes(4)
    return tiff[:4] + struct.pack("<I", directory) + tiff[8:] + bytes(end)
