"""Whole files or none: write aside, sync, rename."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to; it becomes `path` when the block ends well, and nothing else.

    The suffix is kept because muxers and Pillow read it.
    """
    aside = aside_of(path)
    try:
        yield aside
        settle(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def aside_of(path: Path) -> Path:
    """A new hidden name in the same folder, so that the rename cannot cross file systems."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")


def settle(aside: Path, path: Path) -> None:
    """Make `aside` durable and give it its real name."""
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)
