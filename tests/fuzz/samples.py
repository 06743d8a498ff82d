"""One small file of every format that is accepted, by every codec that FFmpeg here can write.

What a mutant is made from. Not here: how it is mangled (mutants.py), what becomes of it (outcomes.py).
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from tests.worker.media.clips import Sound, Subtitle, make_clip, numbered

FRAMES: Final = 12
SIDE: Final = 64  # x265 crashes on smaller ones

X265: Final = "keyint=6:min-keyint=6:bframes=2"
CLIPS: Final[dict[str, dict[str, Any]]] = {
    "h264.mp4": {"options": {"x264-params": "keyint=6:bframes=2"}, "sound": [Sound(seconds=0.5)]},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "texts.mp4": {"subtitle": Subtitle(), "chapters": [(0, 0.3, "one")], "tags": {"title": "x"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": X265}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mpeg2.mp4": {"codec": "mpeg2video"},
    "h264.mov": {"rotation": 90, "sar": Fraction(4, 3)},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "animation.mov": {"codec": "qtrle", "pix_fmt": "rgb24"},
    "dnxhr.mov": {"codec": "dnxhd", "pix_fmt": "yuv422p", "options": {"profile": "dnxhr_lb"}, "width": 256,
                  "height": 128},
    "h264.mkv": {"sound": [Sound(codec="libopus", seconds=0.5)], "subtitle": Subtitle()},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": X265}, "pix_fmt": "yuv420p10le"},
    "ffv1.mkv": {"codec": "ffv1"},
    "mpeg1.mkv": {"codec": "mpeg1video"},
    "png.mov": {"codec": "png", "pix_fmt": "rgb24"},
    "variable.mkv": {"times": [index * 3 + index % 3 for index in range(FRAMES)]},
    "vp8.webm": {"codec": "libvpx", "options": {"deadline": "realtime"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "av1.webm": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}, "sound": [Sound(codec="mp3", seconds=0.5)]},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "msmpeg4.avi": {"codec": "msmpeg4v3"},
    "huffyuv.avi": {"codec": "huffyuv", "pix_fmt": "yuv422p"},
    "utvideo.avi": {"codec": "utvideo", "pix_fmt": "yuv420p"},
    "raw.avi": {"codec": "rawvideo", "pix_fmt": "yuv420p"},
    "h264.avi": {},
}  # fmt: skip


def make_samples(folder: Path) -> list[Path]:
    """All of them, in a fixed order."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {"frames": FRAMES, "width": SIDE, "height": SIDE}
    clips = [make_clip(folder / name, **(plain | given)) for name, given in CLIPS.items()]
    return [*clips, *_pictures(folder)]


def _pictures(folder: Path) -> Iterator[Path]:
    for name, save in PICTURES.items():
        save(folder / name)
        yield folder / name


def _still() -> Image.Image:
    [rgb] = numbered(1, SIDE, SIDE)
    return Image.fromarray(rgb)


def _transparent() -> Image.Image:
    image = _still().convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.arange(SIDE, dtype=np.uint8) * 3, (SIDE, 1))))
    return image


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010F] = "maker"
    return exif


def _moving(**options: Any) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        first, *others = [Image.fromarray(frame) for frame in numbered(5, SIDE, SIDE)]
        first.save(
            path, save_all=True, append_images=others, duration=[40, 80, 120, 40, 40], loop=0, **options
        )

    return save


def _deep(path: Path) -> None:
    Image.fromarray((np.arange(SIDE * SIDE, dtype=np.uint16) * 15).reshape(SIDE, SIDE)).save(path)


PICTURES: Final[dict[str, Callable[[Path], None]]] = {
    "plain.png": lambda path: _still().save(path),
    "transparent.png": lambda path: _transparent().save(path, exif=_exif()),
    "palette.png": lambda path: _still().quantize(16).save(path, transparency=3),
    "deep.png": _deep,
    "moving.png": _moving(),
    "plain.jpeg": lambda path: _still().save(path, exif=_exif()),
    "progressive.jpeg": lambda path: _still().save(path, progressive=True, subsampling="4:2:0"),
    "cmyk.jpeg": lambda path: _still().convert("CMYK").save(path),
    "lossy.webp": lambda path: _transparent().save(path, exif=_exif()),
    "lossless.webp": lambda path: _still().save(path, lossless=True),
    "moving.webp": _moving(),
    "plain.gif": lambda path: _still().save(path),
    "moving.gif": _moving(),
    "plain.tiff": lambda path: _still().save(path),
    "deflate.tiff": lambda path: _transparent().save(path, compression="tiff_deflate"),
    "lzw.tiff": lambda path: _still().save(path, compression="tiff_lzw"),
    "jpeg.tiff": lambda path: _still().save(path, compression="jpeg"),
    "deep.tiff": _deep,
    "bits.tiff": lambda path: _still().convert("1").save(path, compression="group4"),
    "plain.avif": lambda path: _transparent().save(path, exif=_exif()),
    "plain.bmp": lambda path: _still().save(path),
    "palette.bmp": lambda path: _still().quantize(16).save(path),
}
