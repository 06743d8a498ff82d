"""Pictures in: PNG, JPEG, WebP, AVIF, TIFF, BMP and a still GIF, by Pillow.

What is kept: orientation (applied to the pixels, the tag removed), alpha as a plane of its own, the ICC
profile, other EXIF, grey as grey, and 16 bits a channel. What is not is converted with a notice (CMYK) or
refused by type (animation, several pages, 32-bit and float samples).
Start at `read_image`.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from service.errors import BrokenMedia, FrameTooLarge, UnsupportedMedia
from service.formats import PICTURES, Strip
from worker.frames import Planes
from worker.media.pictures.picture import Picture
from worker.media.reading.container import sniff

EXIF_BYTES_MAX: Final = 65_000  # a JPEG segment holds 65,533
_ORIENTATION: Final = 0x0112  # in EXIF, as is
_GPS: Final = 0x8825

# Pillow's own limit warns, and a warning can't be caught safely in threads; ours is checked on every picture.
Image.MAX_IMAGE_PIXELS = None


def read_image(path: Path, *, pixels_max: int, strip: Strip | None = None) -> Picture:
    """Read, set upright and split a picture.

    strip   "gps": EXIF loses where the picture was taken, and the thumbnail
    Raises, besides what `sniff` does, BrokenMedia (truncated or damaged), FrameTooLarge (before any pixel is
    decoded) and UnsupportedMedia (animation, pages, samples of 32 bits).
    """
    sniffed = sniff(path)
    if sniffed not in PICTURES:
        raise UnsupportedMedia("a video is not a picture", field="file", value=sniffed)
    with damage_is_broken_media(sniffed), Image.open(path, formats=[sniffed.upper()]) as image:
        _check_size(image, pixels_max)
        notices = _check_kind(image, sniffed)
        deep: Planes | None = None
        if _is_deep(image) and (deep := _deep_bands(image, path)) is None:
            notices.append("16 bits a channel were reduced to 8")
        upright = ImageOps.exif_transpose(image)
        upright, icc = _to_plain_mode(upright, notices)
    exif = upright.info.get("exif")
    if strip == "gps" and _GPS in upright.getexif():
        exif = _without_place(upright)
        notices.append("where the picture was taken was removed from its EXIF")
    is_grey = upright.mode in ("L", "LA")
    bands: Planes = np.atleast_3d(np.asarray(upright)) if deep is None else deep
    alpha = bands[..., -1].copy() if upright.mode in ("LA", "RGBA") else None
    rgb = np.repeat(bands[..., :1], 3, 2) if is_grey else bands[..., :3].copy()
    if sniffed == "gif":
        notices.append("a still GIF is written as PNG")
    return Picture(
        rgb=rgb if alpha is None else colour_invisible(rgb, alpha),
        alpha=alpha,
        is_grey=is_grey,
        icc=icc,
        exif=exif if isinstance(exif, bytes) and len(exif) <= EXIF_BYTES_MAX else None,
        format="png" if sniffed == "gif" else sniffed,
        notices=tuple(notices),
    )


def colour_invisible(rgb: Planes, alpha: Planes) -> Planes:
    """Give fully transparent pixels the colour of the nearest visible one.

    Editors leave black there, and enlarging would draw it as a dark rim around what is visible.
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return rgb
    labels = cv2.distanceTransformWithLabels(
        (~visible).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    colours = np.zeros((int(labels.max()) + 1, 3), rgb.dtype)
    colours[labels[visible]] = rgb[visible]
    filled: Planes = colours[labels]
    return filled


@contextmanager
def damage_is_broken_media(sniffed: str) -> Iterator[None]:
    """Pillow tells of damage by many types; these are what its readers raise on mangled files."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise BrokenMedia(f"the {sniffed} picture has a damaged header", field="file") from error
    except (
        OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError,
        EOFError, RuntimeError, struct.error, zlib.error,
    ) as error:  # fmt: skip
        raise BrokenMedia(f"the {sniffed} picture is damaged or truncated: {error}", field="file") from error


def _check_size(image: Image.Image, pixels_max: int) -> None:
    width, height = image.size
    if width * height > pixels_max:
        message = f"the picture has {width}x{height} pixels, at most {pixels_max} in all are allowed"
        raise FrameTooLarge(message, field="file", value=f"{width}x{height}")


def _check_kind(image: Image.Image, sniffed: str) -> list[str]:
    """Refuse what is more than one picture, and samples we can't keep."""
    if image.format == "MPO":
        return ["only the first of several pictures in the JPEG was taken"]  # depth or gain maps of phones
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        what = "pages" if sniffed == "tiff" else "frames of animation"
        raise UnsupportedMedia(
            f"the {sniffed} has {frames} {what}, only stills are taken", field="file", value=sniffed
        )
    if image.mode in ("I", "F"):
        raise UnsupportedMedia(
            f"pixel mode {image.mode} (32 bits) is not taken", field="file", value=image.mode
        )
    return []


def _without_place(image: Image.Image) -> bytes:
    exif = image.getexif()
    del exif[_GPS]
    return exif.tobytes()


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Pillow reads 16-bit colour as 8-bit without a word; only the raw mode of its tiles tells."""
    raw = (tile.args if isinstance(tile.args, str) else tile.args[0] for tile in image.tile if tile.args)
    return image.mode.startswith("I;16") or any(isinstance(mode, str) and ";16" in mode for mode in raw)


def _deep_bands(image: ImageFile.ImageFile, path: Path) -> Planes | None:
    """(h, w, 1 to 4) uint16, upright, of a picture of 16 bits a channel that Pillow reads in 8, by OpenCV.

    None where that gives another picture than Pillow: CMYK, a colour that stands for transparency, alpha that
    is multiplied in already.
    """
    image.load()  # which finds damage that OpenCV passes over
    if image.mode.startswith("I;16"):
        found = np.asarray(image).astype(np.uint16)[..., None]
        return _turned(found, image)
    order = {"RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3]}.get(image.mode)
    if order is None or image.has_transparency_data != (image.mode == "RGBA"):
        return None
    read = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16 or read.shape != (image.height, image.width, len(order)):
        return None
    found = np.asarray(read, np.uint16)[..., order]
    difference = np.abs((found >> 8).astype(np.int16) - np.asarray(image)).max()
    return _turned(found, image) if difference <= 1 else None


def _turned(bands: Planes, image: Image.Image) -> Planes:
    """As `ImageOps.exif_transpose` turns the image."""
    match image.getexif().get(_ORIENTATION, 1):
        case 2:
            turned = bands[:, ::-1]
        case 3:
            turned = bands[::-1, ::-1]
        case 4:
            turned = bands[::-1]
        case 5:
            turned = bands.swapaxes(0, 1)
        case 6:
            turned = np.rot90(bands, 3)
        case 7:
            turned = bands[::-1, ::-1].swapaxes(0, 1)
        case 8:
            turned = np.rot90(bands)
        case _:
            turned = bands
    return np.ascontiguousarray(turned)


def _to_plain_mode(image: Image.Image, notices: list[str]) -> tuple[Image.Image, bytes | None]:
    """Bring any mode to L, LA, RGB or RGBA; returns the profile that fits the result."""
    icc = image.info.get("icc_profile") or None
    if image.mode.startswith("I;16"):
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)  # as Pillow does for 16-bit colour
        grey = Image.fromarray(high_byte)
        grey.info.update(image.info)
        grey.info.pop("transparency", None)
        return grey, icc
    if image.mode in ("CMYK", "LAB"):
        notices.append(f"{image.mode} was converted to sRGB")
        return _to_srgb(image, icc), None
    transparent = image.has_transparency_data
    if image.mode in ("1", "L", "LA"):
        return image.convert("LA" if transparent else "L"), icc
    return image.convert("RGBA" if transparent else "RGB"), icc


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """By the embedded profile where there is one that works, else by the plain formula."""
    try:
        if image.mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif icc:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        else:
            return image.convert("RGB")
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):  # the profile is damaged or for another kind of colour
        return image.convert("RGB")
    assert converted is not None  # only conversion in place returns nothing
    return converted
