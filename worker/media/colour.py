"""The one place that knows what YUV samples mean: matrix, range and where chroma samples sit.

Decoding (YUV to RGB) and encoding (RGB to YUV) both go through a `Converter`, so they cannot disagree.
Not here: tone mapping. HDR is refused in probe.py, because 8-bit RGB cannot hold it.
"""

from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Self

import av
import av.filter

from service.errors import UnsupportedMedia
from worker.media.types import ChromaPlace, Colour

UNSPECIFIED = 2
RGB = 0
BT709 = 1
SMPTE170M = 6  # the matrix of BT.601; 5 names the same numbers
LIMITED = 1
FULL = 2
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}

# Code point of H.273 to the name that FFmpeg's scale filter takes. Constant luminance (10), YCgCo (8) and
# ICtCp (14) are missing: swscale has no such matrix and would quietly use another.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
_RANGES = {LIMITED: "limited", FULL: "full"}

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
        matrix = BT709 if height >= 720 else SMPTE170M
        notices.append(f"no colour matrix is tagged: {_MATRICES[matrix]} was assumed from {height} lines")
    if matrix not in _MATRICES:
        raise UnsupportedMedia(
            "this colour matrix cannot be converted exactly", field="colour_matrix", value=matrix
        )
    return replace(colour, matrix=matrix, range=FULL if is_full else colour.range or LIMITED), tuple(notices)


def encodable(colour: Colour) -> Colour:
    """The colour to encode YUV in so that players show the source's; an RGB source becomes BT.709."""
    if colour.matrix == RGB:
        return replace(colour, matrix=BT709, range=LIMITED)
    return colour


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
) -> Converter:
    """From decoded frames to rgb24, full range.

    `colour` is settled; `codec` and `chroma_place` as in `Source`.
    """
    arguments = _arguments(
        in_color_matrix=_MATRICES.get(colour.matrix),
        out_color_matrix=_MATRICES.get(colour.matrix),  # else the filter asks for the matrix "RGB" and fails
        in_range=_RANGES[colour.range],
        out_range="full",
        in_chroma_loc=chroma_place or _CUSTOM.get(codec, "left") if _is_subsampled(pix_fmt) else None,
    )
    return Converter(width, height, pix_fmt=pix_fmt, to="rgb24", arguments=arguments)


def to_yuv(width: int, height: int, *, pix_fmt: str, colour: Colour) -> Converter:
    """From rgb24, full range, to what the encoder takes; frames come out tagged. `colour` is `encodable`."""
    arguments = _arguments(
        out_color_matrix=_MATRICES.get(colour.matrix),
        in_range="full",
        out_range=_RANGES[colour.range],
        out_chroma_loc="left" if _is_subsampled(pix_fmt) else None,
    )
    return Converter(width, height, pix_fmt="rgb24", to=pix_fmt, arguments=arguments)


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
