"""Odd pictures. Each function writes one to the path that it is given."""

import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

THUMBNAIL: Final = b"\xff\xd8\xff\xd9"  # a JPEG that is none; whoever keeps it looks at no pixel
GPS, MAKE = 0x8825, 0x010F
_ASCII, _LONG, _RATIONAL = 2, 4, 5


def scene(width: int = 48, height: int = 32) -> Image.Image:
    """Soft colours that every format keeps well."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 200 // max(width - 1, 1) + 20, y * 200 // max(height - 1, 1) + 20, (x + y) % 64 * 2 + 60]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


def png_of(path: Path, samples: NDArray[np.uint8], bits: int, *, colour_type: int = 0) -> None:
    """Grey of 1, 2 or 4 bits as no library here writes it: (h, w) levels of so many bits."""
    height, width = samples.shape
    planes = np.unpackbits(samples[..., None], axis=2)[..., -bits:].reshape(height, width * bits)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(planes, axis=1))
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
    )


def grey_of_bits(path: Path, bits: int) -> None:
    levels = (np.mgrid[0:32, 0:48][1] // 12 % (1 << bits)).astype(np.uint8)
    png_of(path, levels, bits)


def heic(path: Path) -> None:
    """The beginning of one: no library here writes more."""
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))


@cache
def icc_v4() -> bytes:
    """With the moment in which it was made."""
    made: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert made[8] == 4, "the version"
    return made


def cmyk_profile() -> bytes:
    """By which any ink is grey: lighter where there is less of it. ICC.1:2001, lut8Type."""
    nodes = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    grid = bytes(
        value for c, m, y, k in nodes for value in (round(255 * (1 - k) * (1 - 0.25 * (c + m + y))), 128, 128)
    )
    identity = struct.pack(">9i", *(65_536 * (row == column) for row in range(3) for column in range(3)))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + 4 * ramp + grid + 3 * ramp
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63_190, 65_536, 54_061)
    entries, body, at = b"", b"", 128 + 4 + 2 * 12
    for name, data in ((b"A2B0", table), (b"wtpt", white)):
        entries += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    rest = struct.pack(">I", 2) + entries + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(rest), b"lcms", 0x0210_0000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + rest


def exif_with_thumbnail_and_place() -> bytes:
    """EXIF as a phone writes it: maker, where it was taken, and a small picture beside."""
    maker, latitude = b"maker\0", struct.pack("<6I", 52, 1, 31, 1, 12, 1)
    at = 8
    first, place, second = at, at + 2 + 2 * 12 + 4, at + 2 + 2 * 12 + 4 + 2 + 2 * 12 + 4
    data = second + 2 + 2 * 12 + 4
    found = struct.pack("<2sHI", b"II", 42, first)
    found += struct.pack("<H", 2) + struct.pack("<HHII", MAKE, _ASCII, len(maker), data)
    found += struct.pack("<HHII", GPS, _LONG, 1, place) + struct.pack("<I", second)
    found += struct.pack("<H", 2) + struct.pack("<HHI4s", 1, _ASCII, 2, b"N\0\0\0")
    found += struct.pack("<HHII", 2, _RATIONAL, 3, data + len(maker)) + bytes(4)
    found += struct.pack("<H", 2)
    found += struct.pack("<HHII", 0x0201, _LONG, 1, data + len(maker) + len(latitude))
    found += struct.pack("<HHII", 0x0202, _LONG, 1, len(THUMBNAIL)) + bytes(4)
    return b"Exif\0\0" + found + maker + latitude + THUMBNAIL


def arithmetic_jpeg(path: Path) -> None:
    """`jpegtran -arithmetic -copy none` of scene(24, 16), which no library here writes."""
    path.write_bytes(Path(__file__).with_name("arithmetic.jpg").read_bytes())
