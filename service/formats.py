"""Formats: what a result may be, and which choices go together. The one place for API, commands and workers.

Plain tables that load no library. Not here: the options themselves (jobs/model.py), how an input is read or a
result written (worker/media).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from service.errors import InvalidOption

MediaKind = Literal["video", "image", "animation"]  # of an input; an animation may become a video
Scale = Literal[2, 3, 4]
Size = Literal["1080p", "1440p", "4k", "8k"]
Strip = Literal["gps"]  # what is left out of what is kept beside the pixels
Deinterlace = Literal["auto", "fields", "off"]  # one frame of two fields, one of each, none
Codec = Literal["h264", "hevc", "av1", "prores", "ffv1"]
Container = Literal["mp4", "mkv", "webm", "mov"]
PictureFormat = Literal["png", "jpeg", "webp", "tiff", "bmp", "avif"]
AnimationFormat = Literal["gif", "webp", "png"]  # the last is APNG
Format = Literal[Container, PictureFormat, AnimationFormat]

SCALES: Final[tuple[Scale, ...]] = get_args(Scale)
SIZES: Final[Mapping[Size, tuple[int, int]]] = {  # the screens that these names stand for, lying
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "4k": (3840, 2160),
    "8k": (7680, 4320),
}
STRIPS: Final[tuple[Strip, ...]] = get_args(Strip)
DEINTERLACE: Final[tuple[Deinterlace, ...]] = get_args(Deinterlace)
CODECS: Final[tuple[Codec, ...]] = get_args(Codec)
CONTAINERS: Final[tuple[Container, ...]] = get_args(Container)
FORMATS: Final[Mapping[MediaKind, tuple[Format, ...]]] = {
    "video": CONTAINERS,
    "image": get_args(PictureFormat),
    "animation": (*get_args(AnimationFormat), *CONTAINERS),
}
PICTURES: Final = frozenset({*FORMATS["image"], "gif"})  # that are read; a still GIF becomes a PNG
ANIMATIONS: Final[tuple[AnimationFormat, ...]] = get_args(AnimationFormat)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeWanted:
    """How large a result shall be: so many times its input, or as large as fits what else is given."""

    scale: Scale = 4
    size: Size | None = None
    width: int | None = None  # of what a viewer sees: upright, and with square pixels
    height: int | None = None


CODEC_DEFAULT: Final[Codec] = "h264"  # plays everywhere
# Of those that hold a codec the best known stands first. FFmpeg would write more; players don't read it.
HOLDS: Final[Mapping[Container, frozenset[Codec]]] = {
    "mp4": frozenset({"h264", "hevc", "av1"}),
    "mov": frozenset({"h264", "hevc", "prores"}),
    "mkv": frozenset(CODECS),
    "webm": frozenset({"av1"}),
}
MATROSKAS: Final = frozenset[Container]({"mkv", "webm"})  # one format; its clock has milliseconds
NOT_FOR: Final[Mapping[MediaKind, tuple[str, ...]]] = {  # options that a kind of input has no use for
    "video": (),
    "image": ("codec", "start", "duration", "sample", "deinterlace"),
    "animation": ("start", "duration", "sample", "deinterlace"),
}

# What names of files end in. Of two for one format, the first is the one we write.
_SUFFIXES: Final[Mapping[str, Format]] = {
    ".mp4": "mp4",
    ".mkv": "mkv",
    ".webm": "webm",
    ".mov": "mov",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".bmp": "bmp",
    ".avif": "avif",
    ".gif": "gif",
}


def format_of(suffix: str) -> Format | None:
    """The format that a suffix names, dot included and in any case; None for any other."""
    return _SUFFIXES.get(suffix.lower())


def suffix_of(chosen: str) -> str:
    """What we let the name of a file in that format end in, dot included."""
    return next(suffix for suffix, each in _SUFFIXES.items() if each == chosen)


def media_type_of(suffix: str) -> str:
    """What HTTP calls a file with that suffix, dot included."""
    match format_of(suffix):
        case None:
            return "application/octet-stream"
        case "mp4":
            return "video/mp4"
        case "mkv":
            return "video/x-matroska"
        case "webm":
            return "video/webm"
        case "mov":
            return "video/quicktime"
        case picture:
            return f"image/{picture}"


def codec_for(wanted: Format | None, *, is_deep: bool) -> Codec:
    """Of a video, where nobody chose one: by the format, and by whether samples have more than eight bits."""
    if wanted == "webm":
        return "av1"
    return "hevc" if is_deep else CODEC_DEFAULT


def check_held(codec: Codec, container: Container) -> None:
    """Refuse a container that is not made with that codec; raises InvalidOption."""
    if codec not in HOLDS[container]:
        held = " and ".join(sorted(HOLDS[container]))
        places = " or ".join(each for each in HOLDS if codec in HOLDS[each])
        message = f"{container} is written with {held}; {codec} goes into {places}"
        raise InvalidOption(message, field="format", value=container)
