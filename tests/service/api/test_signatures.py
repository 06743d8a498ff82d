"""Signatures: every kind is known by its first bytes, and the declared size is what Pillow wrote."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.api.intake.signatures import SNIFF_BYTES, Kind, Read, picture_size, sniff
from service.formats import PICTURES

WIDTH, HEIGHT = 37, 23


def picture(pillow_format: str, **save: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 200)).save(out, pillow_format, **save)
    return out.getvalue()


def reading(data: bytes) -> Read:
    return lambda start, stop: data[start:stop]


PICTURE_FILES = {
    "png": picture("PNG"),
    "jpeg": picture("JPEG"),
    "jpeg with 200 KB of metadata": picture("JPEG", icc_profile=bytes(200_000)),
    "progressive jpeg": picture("JPEG", progressive=True),
    "webp lossy": picture("WEBP"),
    "webp lossless": picture("WEBP", lossless=True),
    "webp extended": picture("WEBP", icc_profile=bytes(128)),
    "tiff": picture("TIFF"),
    "big tiff": picture("TIFF", big_tiff=True),
    "bmp": picture("BMP"),
    "avif": picture("AVIF"),
    "gif": picture("GIF"),
}


@pytest.mark.parametrize("data", PICTURE_FILES.values(), ids=PICTURE_FILES.keys())
def test_a_picture_is_known_and_its_declared_size_is_read(data: bytes) -> None:
    kind = sniff(data[:SNIFF_BYTES])
    assert kind in PICTURES
    assert picture_size(kind, reading(data)) == (WIDTH, HEIGHT)


def test_the_largest_page_of_a_tiff_counts() -> None:
    out = io.BytesIO()
    thumbnail, whole = Image.new("L", (4, 4)), Image.new("L", (WIDTH, HEIGHT))
    thumbnail.save(out, "TIFF", save_all=True, append_images=[whole])
    assert picture_size("tiff", reading(out.getvalue())) == (WIDTH, HEIGHT)


def test_a_motorola_tiff_is_read_in_its_own_byte_order() -> None:
    entries = struct.pack(">HHIHH", 256, 3, 1, WIDTH, 0) + struct.pack(">HHII", 257, 4, 1, HEIGHT)
    data = b"MM\x00*" + struct.pack(">IH", 8, 2) + entries + struct.pack(">I", 0)
    assert sniff(data) == "tiff"
    assert picture_size("tiff", reading(data)) == (WIDTH, HEIGHT)


def test_tiff_pages_in_a_circle_are_walked_once() -> None:
    page = struct.pack("<H", 1) + struct.pack("<HHIHH", 256, 3, 1, WIDTH, 0) + struct.pack("<I", 8)
    data = b"II*\x00" + struct.pack("<I", 8) + page
    reads: list[int] = []

    def read(start: int, stop: int) -> bytes:
        reads.append(start)
        return data[start:stop]

    assert picture_size("tiff", read) is None
    assert len(reads) < 10


def test_a_declared_size_is_believed_without_any_pixels() -> None:
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 100_000, 100_000)
    assert picture_size("png", reading(data)) == (100_000, 100_000)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x00\x00\x00\x20ftypisom", "mp4"),
        (b"\x00\x00\x00\x14ftypqt  ", "mp4"),
        (b"\x00\x00\x00\x08wide\x00\x00", "mp4"),
        (b"\x00\x00\x00\x18ftypheic", "heif"),
        (b"\x00\x00\x00\x18ftypavif", "avif"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "avif"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heicmiaf", "heif"),
        (b"\x00\x00\x00\x14ftypmif1\x00\x00\x00\x00mif1avif", "heif"),  # beyond the box
        (b"\x1a\x45\xdf\xa3\x01\x00", "matroska"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "avi"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"ID3\x04mp3", None),
        (b"%PDF-1.7", None),
        (b"<svg xmlns=", None),
        (b"just some text, longer than a signature", None),
        (b"", None),
        (b"\x00", None),
    ],
)
def test_files_are_told_apart_by_their_first_bytes(head: bytes, kind: Kind | None) -> None:
    assert sniff(head) == kind


@given(
    st.sampled_from(sorted(PICTURE_FILES)), st.integers(0, 400), st.binary(max_size=40), st.integers(0, 300)
)
def test_a_broken_header_is_no_size_and_never_an_exception(
    name: str, cut: int, noise: bytes, at: int
) -> None:
    data = PICTURE_FILES[name][:cut]
    broken = data[:at] + noise + data[at + len(noise) :]
    for kind in PICTURES:
        size = picture_size(kind, reading(broken))  # type: ignore[arg-type]
        assert size is None or min(size) >= 0
