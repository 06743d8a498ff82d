"""Still pictures, read by processes that are kept for the next one: `read_image` is what callers use.

Gives and raises what pictures/reading.py does; all else is as in reading.py, which has videos and animations.
"""

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Base64Bytes, PositiveInt, TypeAdapter, ValidationError

from service.formats import PictureFormat, Strip
from worker.media.pictures.picture import Picture
from worker.media.sandbox.judging import nonsense
from worker.media.sandbox.parent import nothing
from worker.media.sandbox.pool import Pool

_CHANNELS: Final = 3


def read_image(
    path: Path,
    *,
    pixels_max: int,
    strip: Strip | None = None,
    owner: str | None = None,
    on_wait: Callable[[], None] = nothing,
) -> Picture:
    """pictures/reading.py

    owner   whose picture it is: no other's is ever in the same process
    """
    with POOL.taken(owner, pixels_max) as pooled:
        ring, reader = pooled.ring, pooled.reader
        reader.ask("read_image", path, {"pixels_max": pixels_max, "strip": strip})
        try:
            found = _PICTURE.validate_python(reader.result(on_wait=on_wait))
        except ValidationError as error:
            raise nonsense() from error
        height, width = found.size
        if height * width > pixels_max:
            raise nonsense()
        return Picture(
            rgb=ring.take(0, (height, width, _CHANNELS), is_deep=found.is_deep),
            alpha=ring.take(1, (height, width), is_deep=found.is_deep) if found.has_alpha else None,
            is_grey=found.is_grey,
            icc=found.icc,
            exif=found.exif,
            format=found.format,
            notices=found.notices,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What comes beside the pixels of a picture."""

    size: tuple[PositiveInt, PositiveInt]
    has_alpha: bool
    is_deep: bool
    is_grey: bool
    icc: Base64Bytes | None
    exif: Base64Bytes | None
    format: PictureFormat
    notices: tuple[str, ...]


_PICTURE: Final = TypeAdapter(_Picture)
POOL: Final = Pool(slots=2, pixel_bytes=2 * _CHANNELS)  # colours and transparency, of 16 bits a sample
atexit.register(POOL.close)
