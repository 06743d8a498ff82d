"""The one place that knows what YUV samples mean: matrix, range and where chroma samples sit.

Decoding (YUV to RGB) and encoding (RGB to YUV) both go through a `Converter`, so they cannot disagree.
PQ and HLG stay in their own code values, at the depth they came in: nothing here maps tones (tonemap.py does,
for previews).
"""

from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Final, Literal, Self, cast

import av
import av.filter
import numpy as np

from service.errors import UnsupportedMedia
from worker.frames import Planes, is_deep
from worker.media.types import ChromaPlace, Colour
from worker.yuv import Row, Yuv420

UNSPECIFIED = 2
RGB = 0
BT709 = 1
SMPTE170M = 6  # the matrix of BT.601; 5 names the same numbers
LIMITED = 1
FULL = 2
BT2020 = 9  # of matrices (not constant luminance) and of primaries

HdrKind = Literal["PQ", "HLG"]

_HDR_TRANSFERS: Final[dict[int, HdrKind]] = {16: "PQ", 18: "HLG"}

# Code point of H.273 to the name that FFmpeg's scale filter takes. Constant luminance (10), YCgCo (8) and
# ICtCp (14) are missing: swscale has no such matrix and would quietly use another.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
_RANGES = {LIMITED: "limited", FULL: "full"}

_LUMA: Final = {  # what red and blue weigh in it, of each matrix
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}

# Where subsampled chroma sits by each codec's custom, unless the file states it (reading/siting.py); the rest
# is MPEG's, on the left of its luma samples. swscale would take the middle: chroma of 4:2:0 and 4:2:2 half a
# pixel off, of 4:1:1 one and a half, and four times that after enlarging.
_CUSTOM: dict[str, ChromaPlace] = {
    "mjpeg": "center",
    "mpeg1video": "center",
    "h263": "center",
    "dvvideo": "topleft",
}

# Without these swscale's fast path repeats each chroma sample instead of interpolating it, and rounds as the
# processor's instructions happen to; a resumed job may go on elsewhere.
_FLAGS = "bicubic+accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"


def settle(colour: Colour, *, height: int, is_rgb: bool, is_full: bool) -> tuple[Colour, tuple[str, ...]]:
    """What the tags mean where they are silent, and a notice for each guess that changes pixels.

    height    lines of the stored frame: 720 and more without a tag are BT.709, as players take it
    is_full   the pixel format itself says full range (yuvj420p)
    Raises UnsupportedMedia for a matrix that we cannot convert.
    """
    if is_rgb:
        return replace(colour, matrix=RGB, range=FULL), ()
    notices: list[str] = []
    matrix = colour.matrix
    if matrix in {RGB, UNSPECIFIED, 3}:  # 3 is reserved, 0 is impossible for YUV
        hdr = hdr_of(colour)
        matrix = BT2020 if hdr else BT709 if height >= 720 else SMPTE170M
        reason = f"since the video is {hdr}" if hdr else f"from {height} lines"
        notices.append(f"no colour matrix is tagged: {_MATRICES[matrix]} was assumed {reason}")
    if matrix not in _MATRICES:
        raise UnsupportedMedia(
            "this colour matrix cannot be converted exactly", field="colour_matrix", value=matrix
        )
    return replace(colour, matrix=matrix, range=FULL if is_full else colour.range or LIMITED), tuple(notices)


def encodable(colour: Colour) -> Colour:
    """The colour to encode YUV in so that players show the source's; an RGB source becomes BT.709."""
    if colour.matrix == RGB:
        return replace(colour, matrix=BT2020 if colour.primaries == BT2020 else BT709, range=LIMITED)
    return colour


def hdr_of(colour: Colour) -> HdrKind | None:
    """None for all that screens without HDR show as it is."""
    return _HDR_TRANSFERS.get(colour.transfer)


class Converter:
    """Converts frames of one size and format, by libswscale with every parameter given.

    A filter graph rather than `VideoFrame.reformat`, because only the graph lets us say where chroma sits.
    Not thread-safe. A context manager: the graph holds native buffers.
    """

    def __init__(self, width: int, height: int, *, pix_fmt: str, to: str, arguments: str) -> None:
        self._graph = av.filter.Graph()
        self._graph.threads = 1  # decoder and encoder have threads of their own
        source = self._graph.add_buffer(
            width=width, height=height, format=av.VideoFormat(pix_fmt), time_base=Fraction(1, 1_000_000)
        )
        scale = self._graph.add("scale", arguments)
        target = self._graph.add("format", to)
        source.link_to(scale)
        scale.link_to(target)
        target.link_to(self._graph.add("buffersink"))
        self._graph.configure()

    def convert(self, frame: av.VideoFrame) -> av.VideoFrame:
        self._graph.push(frame)
        converted = self._graph.pull()
        assert isinstance(converted, av.VideoFrame)
        return converted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._graph


def to_rgb(
    width: int,
    height: int,
    *,
    pix_fmt: str,
    codec: str,
    colour: Colour,
    chroma_place: ChromaPlace | None = None,
    is_deep: bool = False,
) -> Converter:
    """From decoded frames to rgb24, or rgb48 where they are deep, full range.

    `colour` is settled; `codec` and `chroma_place` as in `Source`.
    """
    arguments = _arguments(
        in_color_matrix=_MATRICES.get(colour.matrix),
        out_color_matrix=_MATRICES.get(colour.matrix),  # else the filter asks for the matrix "RGB" and fails
        in_range=_RANGES[colour.range],
        out_range="full",
        in_chroma_loc=chroma_place or _CUSTOM.get(codec, "left") if _is_subsampled(pix_fmt) else None,
    )
    return Converter(width, height, pix_fmt=pix_fmt, to=rgb_format(is_deep), arguments=arguments)


def to_yuv(width: int, height: int, *, pix_fmt: str, colour: Colour, is_deep: bool = False) -> Converter:
    """From rgb24, or rgb48 where it is deep, full range, to what the encoder takes; frames come out tagged.

    `colour` is `encodable`. swscale dithers where 16 bits become 8, and nowhere else.
    """
    arguments = _arguments(
        out_color_matrix=_MATRICES.get(colour.matrix),
        in_range="full",
        out_range=_RANGES[colour.range],
        out_chroma_loc="left" if _is_subsampled(pix_fmt) else None,
    )
    return Converter(width, height, pix_fmt=rgb_format(is_deep), to=pix_fmt, arguments=arguments)


def yuv420(colour: Colour) -> Yuv420:
    """What `to_yuv` does with eight bits for yuv420p, in numbers; `colour` is `encodable`."""
    red, blue = _LUMA[colour.matrix]
    green = 1 - red - blue
    cb, cr = 2 * (1 - blue), 2 * (1 - red)
    limited = colour.range == LIMITED
    y_span, c_span = (219 / 255, 224 / 255) if limited else (1.0, 1.0)

    def row(span: float, *weights: float) -> Row:
        r, g, b = (span * weight for weight in weights)
        return r, g, b

    return Yuv420(
        weights=(
            row(y_span, red, green, blue),
            row(c_span, -red / cb, -green / cb, (1 - blue) / cb),
            row(c_span, (1 - red) / cr, -green / cr, -blue / cr),
        ),
        offsets=(16.0 if limited else 0.0, 128.0, 128.0),
    )


def rgb_of(frame: av.VideoFrame, colour: Colour) -> Planes:
    """(H, W, 3) uint8 of a frame that is to be encoded; what `to_yuv` or `yuv420` made."""
    with to_rgb(
        frame.width, frame.height, pix_fmt=frame.format.name, codec="h264", colour=colour
    ) as converter:
        return cast("Planes", converter.convert(frame).to_ndarray())


def from_swscale(rgb: Planes, colour: Colour, depth: int) -> Planes:
    """Deep RGB as `to_rgb` left it, stretched so that white is 65535; anything else as it is.

    swscale puts zeros behind what it has: white comes out as 255 * 256, of a full range of ten bits as
    1023 * 64. What lies above white was outside the range and is cut off, as it is at eight bits.
    """
    if not is_deep(rgb) or colour.matrix == RGB:
        return rgb
    bits = 8 if colour.range == LIMITED else depth
    within = np.minimum(rgb, np.uint16(65_536 - (65_536 >> bits)))
    within += within >> bits
    return within


def for_swscale(rgb: Planes) -> Planes:
    """The opposite for `to_yuv`, which takes 255 * 256 for white whatever comes out."""
    return rgb - (rgb >> 8) if is_deep(rgb) else rgb


def rgb_format(is_deep: bool) -> str:
    """FFmpeg's name of our frames."""
    return "rgb48le" if is_deep else "rgb24"


def _is_subsampled(pix_fmt: str) -> bool:
    side = 8  # luma samples, of which no format leaves less than two of chroma
    pixels = av.VideoFormat(pix_fmt, side, side)
    return pixels.chroma_width(side) < side or pixels.chroma_height(side) < side


def _arguments(**given: str | None) -> str:
    # Transfer and primaries are named alike on both sides, so that nothing converts them: some files carry
    # reserved values there, which swscale refuses.
    same = {f"{side}_{what}": "bt709" for side in ("in", "out") for what in ("primaries", "transfer")}
    named = {name: value for name, value in given.items() if value is not None}
    return ":".join(f"{name}={value}" for name, value in {**named, **same, "flags": _FLAGS}.items())
