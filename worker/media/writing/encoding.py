"""How the frames of one job are written: codec, size, colour, depth and quality, and what each codec allows.

Not here: the encoders' own options (encoders.py), writing frames (encode.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from service.errors import InvalidOption
from service.formats import Codec
from worker.media.colour import LIMITED, RGB, yuv420
from worker.media.types import Colour, Light
from worker.yuv import Yuv420

# Constant rate factors at which enlarged detail survives encoding; HEVC's scale is some 3 steps finer. Of
# ProRes it is the profile. FFV1 is lossless and has none.
QUALITY_DEFAULT: Final[Mapping[Codec, int]] = {"h264": 17, "hevc": 20, "av1": 27, "prores": 3, "ffv1": 0}
QUALITIES: Final[Mapping[Codec, range]] = {
    "h264": range(1, 52),  # 0 would switch x264 to a lossless profile that few players know
    "hevc": range(1, 52),
    "av1": range(1, 64),
    "prores": range(4),
    "ffv1": range(1),
}

_PIX_FMTS: Final[Mapping[Codec, Mapping[int, str]]] = {  # by depth, the least first
    "h264": {8: "yuv420p"},  # few players know its profiles of more bits
    "hevc": {8: "yuv420p", 10: "yuv420p10le", 12: "yuv420p12le"},
    "av1": {8: "yuv420p", 10: "yuv420p10le"},
    "prores": {10: "yuv422p10le"},
    # RGB comes back bit for bit.
    "ffv1": {8: "bgr0", 10: "gbrp10le", 12: "gbrp12le", 16: "gbrp16le"},
}

PRORES_TAGS: Final = ("apco", "apcs", "apcn", "apch")  # of its profiles: proxy, LT, 422, HQ

_YUV_SIDE_MIN = 16  # swscale has narrower filters for smaller pictures
_PIXELS_OF_THREAD = 1280 * 720  # 30 ms of x264 on one core
_THREADS_MAX = 8
LOOKAHEAD_MAX = 20  # frames
_LOOKAHEAD_PIXELS_MAX = LOOKAHEAD_MAX * 3840 * 2160

# Of level 6.2, the last (H.264, table A-1 and A.3.1): macroblocks of a frame, and of its longer side.
_H264_BLOCKS_MAX = 139_264
_H264_SIDE_BLOCKS_MAX = 1055


def check_size(codec: Codec, width: int, height: int) -> None:
    """Refuse frames that the codec has no place for, as players would; raises InvalidOption."""
    size = f"{width}x{height}"
    if codec == "h264" and not h264_allows(width, height):
        message = f"no level of H.264 allows {size}; codec=hevc or a smaller size would do"
        raise InvalidOption(message, field="codec", value=codec)
    if codec == "av1" and not (min(width, height) >= 4 and width <= 16_384 and height <= 8_704):
        message = f"AV1 is written from 4x4 to 16384x8704, {size} is not; another codec or size would do"
        raise InvalidOption(message, field="codec", value=codec)


def h264_allows(width: int, height: int) -> bool:
    """Whether a frame of that size conforms to any level of H.264."""
    across, down = -(-width // 16), -(-height // 16)
    return across * down <= _H264_BLOCKS_MAX and max(across, down) <= _H264_SIDE_BLOCKS_MAX


def depth_of(codec: Codec, depth: int) -> int:
    """Bits that samples of `depth` bits are written in: no fewer, where the codec has as many."""
    offered = _PIX_FMTS[codec]
    return next((bits for bits in offered if bits >= depth), max(offered))


def quality_of(codec: Codec, asked: int) -> int:
    """What was asked for, 1 to 100, where 100 is best for every codec, as the codec itself counts."""
    steps = QUALITIES[codec]
    if codec == "prores":
        return (asked - 1) * len(steps) // 100
    return steps[-1] - round((asked - 1) * (len(steps) - 1) / 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How the frames of one job are written; the same for all its parts."""

    codec: Codec
    width: int  # even
    height: int  # even
    colour: Colour  # `colour.encodable` of the source's: matrix and range are known
    quality: int | None = None  # as the codec counts, of QUALITIES; None is QUALITY_DEFAULT
    depth: int = 8  # bits written, as `depth_of` has them
    is_deep: bool = False  # frames come as uint16
    light: Light | None = None
    sar: Fraction = Fraction(1)
    rate: Fraction = Fraction(25)  # nominal frames a second, for the encoder's level only

    def __post_init__(self) -> None:
        if self.codec not in QUALITIES:
            raise InvalidOption(f"unknown codec {self.codec!r}", field="codec", value=self.codec)
        steps = QUALITIES[self.codec]
        if self.quality is not None and self.quality not in steps:
            message = f"quality of {self.codec} goes from {steps[0]} to {steps[-1]}"
            raise InvalidOption(message, field="quality", value=self.quality)
        assert self.depth in _PIX_FMTS[self.codec]
        assert self.is_deep or self.depth == depth_of(self.codec, 8)
        if self.codec != "ffv1":
            assert self.width % 2 == 0
            assert self.height % 2 == 0
            assert self.colour.matrix not in (0, 2)
            assert self.colour.range != 0

    @property
    def grade(self) -> int:
        """The quality, or what stands for it where none was asked for."""
        return QUALITY_DEFAULT[self.codec] if self.quality is None else self.quality

    @property
    def threads(self) -> int:
        """Of the encoder: by the frame's size and nothing else, since files differ with it."""
        return max(1, min(_THREADS_MAX, self.width * self.height // _PIXELS_OF_THREAD))

    @property
    def lookahead(self) -> int:
        """Whole frames that the encoder holds before it decides: 20, and at 7680x4320 five, or 250 MB."""
        return max(5, min(LOOKAHEAD_MAX, _LOOKAHEAD_PIXELS_MAX // (self.width * self.height)))

    @property
    def pix_fmt(self) -> str:
        return _PIX_FMTS[self.codec][self.depth]

    @property
    def yuv(self) -> Yuv420 | None:
        """How frames may come ready for the encoder; None where libswscale is to make them so."""
        is_plain = self.pix_fmt == "yuv420p" and not self.is_deep
        return yuv420(self.colour) if is_plain and min(self.width, self.height) >= _YUV_SIDE_MIN else None

    @property
    def tag(self) -> str | None:
        """What mp4 and mov call the codec, where players want another name than FFmpeg's."""
        if self.codec == "prores":
            return PRORES_TAGS[self.grade]
        return "hvc1" if self.codec == "hevc" else None  # Apple's players take no other

    @property
    def written_colour(self) -> Colour:
        """The tags of the file, in which the codec's samples are made."""
        primaries, transfer = self.colour.primaries, self.colour.transfer
        if self.codec == "ffv1":  # RGB has no matrix to name and is always full range
            return Colour(matrix=RGB, primaries=primaries, transfer=transfer, range=2)
        if self.codec == "prores":  # it knows no other range
            return Colour(matrix=self.colour.matrix, primaries=primaries, transfer=transfer, range=LIMITED)
        return self.colour
