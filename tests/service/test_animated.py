"""Animated or still, by blocks alone."""

import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image

from service.animated import Read, is_animated


def reading(content: bytes) -> Read:
    return lambda start, stop: content[start:stop]


def picture(kind: str, frame_count: int, **options: object) -> bytes:
    frames = [Image.new("RGB", (40, 30), (50 * index, 200, 0)) for index in range(frame_count)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=frame_count > 1, append_images=frames[1:], **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_more_than_one_frame_is_an_animation(kind: str) -> None:
    assert is_animated(kind, reading(picture(kind, 3)))
    assert not is_animated(kind, reading(picture(kind, 1)))


def test_the_picture_for_who_knows_no_animation_is_no_frame() -> None:
    content = picture("png", 2, default_image=True)
    assert not is_animated("png", reading(content))


@pytest.mark.parametrize("kind", ["jpeg", "bmp", "tiff", "mp4"])
def test_nothing_else_is(kind: str) -> None:
    assert not is_animated(kind, reading(picture("gif", 3)))


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_file_that_ends_anywhere_is_told_by_what_is_there(kind: str) -> None:
    content = picture(kind, 2)
    told = [is_animated(kind, reading(content[:size])) for size in range(len(content) + 1)]
    assert told == sorted(told)
    assert told[-1]


@pytest.mark.parametrize(
    ("kind", "head", "block"),
    [
        ("gif", b"GIF89a" + bytes(7), b"\x21\x01\x00"),
        ("webp", b"RIFF\0\0\0\0WEBP", b"XXXX" + bytes(4)),
        ("png", b"\x89PNG\r\n\x1a\n", struct.pack(">I4s4x", 0, b"teXt")),
    ],
)
def test_blocks_without_end_are_not_walked_without_end(kind: str, head: bytes, block: bytes) -> None:
    reads = 0

    def endless(start: int, stop: int) -> bytes:
        nonlocal reads
        reads += 1
        assert reads < 2_000_000
        if start < len(head):
            return head[start:stop]
        at = (start - len(head)) % len(block)
        return (block * (2 + (stop - start) // len(block)))[at : at + stop - start]

    answer: Callable[[str, Read], bool] = is_animated
    assert not answer(kind, endless)
