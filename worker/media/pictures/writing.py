"""Pictures out: PNG, JPEG, WebP, AVIF, TIFF, BMP by Pillow, and PNG and TIFF of 16 bits a sample (deep.py).

What a format can't hold is converted or dropped with a notice. Nothing here enlarges.
Start at `save_image`.
"""

from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from PIL import Image

from service.errors import InvalidOption
from service.formats import FORMATS
from worker.frames import in_bytes, is_deep
from worker.media.pictures.deep import DEEP_KINDS, encode_deep
from worker.media.pictures.picture import Picture
from worker.media.writing.atomic import written_whole

# Of 100, which makes WebP lossless as the others are.
QUALITY_DEFAULT: Final = {"jpeg": 95, "webp": 92, "avif": 85}
# What the format, or its library, can hold.
SIDE_MAX: Final = {"jpeg": 65_500, "webp": 16_383, "avif": 32_768}
_WITH_EXIF: Final = ("png", "jpeg", "webp", "avif")
_AVIF_SPEED: Final = 7  # of 10
# Of zlib. Its own, 6, takes 2.7 times as long for the pictures of Set14, enlarged, and saves 3 % of bytes.
# Run lengths alone take half as long as this, but half as many bytes again for drawings.
_PNG_LEVEL: Final = 4


def write_image(
    picture: Picture, path: Path, *, kind: str | None = None, quality: int | None = None
) -> tuple[str, ...]:
    """`save_image`, but durable, and whole or not at all."""
    with written_whole(path) as aside:
        return save_image(picture, aside, kind=kind, quality=quality)


def save_image(
    picture: Picture, target: Path | BinaryIO, *, kind: str | None = None, quality: int | None = None
) -> tuple[str, ...]:
    """Write a picture to a file or into memory; returns notices of what the format can't hold.

    kind:    a format of pictures; the picture's own by default
    quality: 1 to 100 for JPEG and WebP (100 is lossless WebP); ignored by the lossless formats
    """
    kind = kind or picture.format
    height, width = picture.rgb.shape[:2]
    check_output(kind, width, height)
    notices = []
    if is_deep(picture.rgb):
        if kind in DEEP_KINDS:
            _save_deep(picture, target, kind)
            return ()
        notices.append(f"16 bits a channel were reduced to 8: {kind} is written with no more")
        alpha = None if picture.alpha is None else in_bytes(picture.alpha)
        picture = picture.with_pixels(in_bytes(picture.rgb), alpha)
    image = Image.fromarray(picture.rgb)
    if picture.is_grey:
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
        if kind in ("jpeg", "bmp"):
            notices.append(f"transparency was laid on white: {kind} has none")
            image = _flatten(image)
        elif kind == "avif" and picture.is_grey:
            notices.append("grey was written as colours: an avif with transparency has no grey")
    if picture.icc and kind == "bmp":
        notices.append("the ICC profile was dropped: bmp holds none")
    level = QUALITY_DEFAULT.get(kind, 100) if quality is None else quality
    kept = {"icc_profile": picture.icc, "exif": picture.exif if kind in _WITH_EXIF else None}
    options = {name: value for name, value in kept.items() if value} | _options_of(kind, image.mode, level)
    image.save(target, format=kind.upper(), **options)
    return tuple(notices)


def bits_of(picture: Picture, kind: str) -> int:
    """Of a sample, as `save_image` writes them."""
    return 16 if is_deep(picture.rgb) and kind in DEEP_KINDS else 8


def check_output(kind: str, width: int, height: int) -> None:
    """Refuse a format that we don't write or that can't hold the size; call it before any work is done."""
    if kind not in FORMATS["image"]:
        raise InvalidOption(f"unknown picture format {kind!r}", field="format", value=kind)
    if max(width, height) > SIDE_MAX.get(kind, max(width, height)):
        message = f"{kind} holds at most {SIDE_MAX[kind]} pixels a side, the result has {width}x{height}"
        raise InvalidOption(message, field="format", value=kind)


def _options_of(kind: str, mode: str, level: int) -> dict[str, object]:
    """What Pillow is told of that format; colours of every pixel, for which the network was just paid."""
    match kind:
        case "jpeg":
            return {"quality": level, "subsampling": "4:4:4"}
        case "webp":
            return {"quality": level, "lossless": level >= 100, "method": 4}
        case "avif":
            planes: dict[str, object] = {} if mode == "L" else {"subsampling": "4:4:4"}
            return {"quality": level, "speed": _AVIF_SPEED, "max_threads": 1, **planes}
        case "png":
            return {"compress_level": _PNG_LEVEL}
        case "tiff":
            return {"compression": "tiff_deflate"}
        case _:
            return {}


def _save_deep(picture: Picture, target: Path | BinaryIO, kind: str) -> None:
    bands = picture.rgb
    if picture.alpha is not None:
        bands = np.dstack([bands, picture.alpha])
    elif picture.is_grey:
        bands = bands[..., :1]
    content = encode_deep(bands.astype(np.uint16, copy=False), kind, icc=picture.icc, exif=picture.exif)
    if isinstance(target, Path):
        target.write_bytes(content)
    else:
        target.write(content)


def _flatten(image: Image.Image) -> Image.Image:
    white = Image.new(image.mode, image.size, (255,) * len(image.getbands()))
    return Image.alpha_composite(white.convert("RGBA"), image.convert("RGBA")).convert(
        "L" if image.mode == "LA" else "RGB"
    )
