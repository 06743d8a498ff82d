"""Encoder of one part: RGB frames in, one closed run of H.264, HEVC or FFV1 packets in a Matroska file out.

Every part of a job is made with the same settings, so all carry the same parameter sets and join.py can lay
their packets end to end. The times inside a part mean nothing but order; join.py writes the real ones.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidOption
from service.formats import Codec
from worker.frames import HighFrame, is_deep
from worker.media.colour import for_swscale, rgb_format, to_yuv
from worker.media.types import Colour, Light
from worker.media.writing.atomic import aside_of, settle
from worker.media.writing.light import x265_params

# Constant rate factors at which enlarged detail survives encoding; HEVC's scale is some 3 steps finer.
# FFV1 is lossless and has none.
QUALITY_DEFAULT: dict[Codec, int] = {"h264": 17, "hevc": 20, "ffv1": 0}
QUALITY_RANGE = range(1, 52)  # 0 would switch x264 to a lossless profile that few players know

_ENCODERS: dict[Codec, str] = {"h264": "libx264", "hevc": "libx265", "ffv1": "ffv1"}
_PIX_FMTS: dict[Codec, dict[int, str]] = {  # by depth, the least first
    "h264": {8: "yuv420p"},  # few players know its profiles of more bits
    "hevc": {8: "yuv420p", 10: "yuv420p10le", 12: "yuv420p12le"},
    # RGB comes back bit for bit.
    "ffv1": {8: "bgr0", 10: "gbrp10le", 12: "gbrp12le", 16: "gbrp16le"},
}

DEPTH_MAX = 16  # of our frames

# x265 4.2 writes past its arrays (Lookahead::cuTree) on smaller frames, 48x48 for one; the heap gives way.
_CUTREE_SIDE_MIN = 64
_PIXELS_OF_THREAD = 1280 * 720  # 30 ms of x264 on one core
_THREADS_MAX = 8
_LOOKAHEAD_PIXELS_MAX = 20 * 3840 * 2160
_REORDER_MAX = 32  # no encoder here holds back more frames
_RATE_MAX = 500  # Matroska's millisecond must keep the order of frames

# Of level 6.2, the last (H.264, table A-1 and A.3.1): macroblocks of a frame, and of its longer side.
_H264_BLOCKS_MAX = 139_264
_H264_SIDE_BLOCKS_MAX = 1055


def h264_allows(width: int, height: int) -> bool:
    """Whether a frame of that size conforms to any level of H.264; players refuse what does not."""
    across, down = -(-width // 16), -(-height // 16)
    return across * down <= _H264_BLOCKS_MAX and max(across, down) <= _H264_SIDE_BLOCKS_MAX


def depth_of(codec: Codec, depth: int) -> int:
    """Bits that samples of `depth` bits are written in: no fewer, where the codec has as many."""
    offered = _PIX_FMTS[codec]
    return next((bits for bits in offered if bits >= depth), max(offered))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How the frames of one job are written; the same for all its parts."""

    codec: Codec
    width: int  # even
    height: int  # even
    colour: Colour  # `colour.encodable` of the source's: matrix and range are known
    quality: int | None = None  # constant rate factor, 1 (best) to 51; None is QUALITY_DEFAULT
    depth: int = 8  # bits written, as `depth_of` has them
    is_deep: bool = False  # frames come as uint16
    light: Light | None = None
    sar: Fraction = Fraction(1)
    rate: Fraction = Fraction(25)  # nominal frames a second, for the encoder's level only

    def __post_init__(self) -> None:
        if self.codec not in _ENCODERS:
            raise InvalidOption(f"unknown codec {self.codec!r}", field="codec", value=self.codec)
        assert self.depth in _PIX_FMTS[self.codec]
        assert self.is_deep or self.depth == 8
        if self.codec != "ffv1":
            if self.quality is not None and self.quality not in QUALITY_RANGE:
                raise InvalidOption("quality goes from 1 to 51", field="quality", value=self.quality)
            assert self.width % 2 == 0
            assert self.height % 2 == 0
            assert self.colour.matrix not in (0, 2)
            assert self.colour.range != 0

    @property
    def crf(self) -> int:
        return QUALITY_DEFAULT[self.codec] if self.quality is None else self.quality

    @property
    def threads(self) -> int:
        """Of the encoder: by the frame's size and nothing else, since files differ with it."""
        return max(1, min(_THREADS_MAX, self.width * self.height // _PIXELS_OF_THREAD))

    @property
    def lookahead(self) -> int:
        """Whole frames that the encoder holds before it decides: 20, and at 7680x4320 five, or 250 MB."""
        return max(5, min(20, _LOOKAHEAD_PIXELS_MAX // (self.width * self.height)))

    @property
    def pix_fmt(self) -> str:
        return _PIX_FMTS[self.codec][self.depth]

    @property
    def written_colour(self) -> Colour:
        """The tags of the file: RGB has no matrix to name and is always full range."""
        if self.codec != "ffv1":
            return self.colour
        return Colour(matrix=0, primaries=self.colour.primaries, transfer=self.colour.transfer, range=2)


class PartEncoder:
    """Writes one part. The file has its name only after `close`; after `abort` nothing is left of it.

    As a context manager it closes at the end of the block, or aborts on an exception.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self._path = path
        self._aside = aside_of(path)
        self._encoding = encoding
        self._converter = to_yuv(
            encoding.width,
            encoding.height,
            pix_fmt=encoding.pix_fmt,
            colour=encoding.written_colour,
            is_deep=encoding.is_deep,
        )
        self._frame_count = 0
        self._packet_count = 0
        self._open = True
        self._container = av.open(str(self._aside), "w", format="matroska")
        try:
            self._stream = _add_encoder(self._container, encoding)
        except BaseException:
            self.abort()
            raise

    def write(self, high: HighFrame) -> None:
        """Encode the next frame: (H, W, 3) RGB, uint8 or deep."""
        self.encode(self.convert(high))

    def convert(self, high: HighFrame) -> av.VideoFrame:
        """A frame (H, W, 3) RGB, uint8 or deep, as the encoder takes it."""
        encoding = self._encoding
        assert high.shape == (encoding.height, encoding.width, 3)
        assert is_deep(high) == encoding.is_deep
        colour = encoding.written_colour
        if encoding.codec == "ffv1" and encoding.is_deep:
            frame = av.VideoFrame.from_ndarray(_in_bits(high, encoding.depth), format=encoding.pix_fmt)
        else:
            picture = np.ascontiguousarray(for_swscale(high))
            frame = self._converter.convert(
                av.VideoFrame.from_numpy_buffer(picture, format=rgb_format(encoding.is_deep))
            )
        # The encoders read the tags off the frame, and the converter leaves its own there.
        frame.colorspace = colour.matrix
        frame.color_primaries = colour.primaries
        frame.color_trc = colour.transfer
        frame.color_range = colour.range
        return frame

    def encode(self, frame: av.VideoFrame) -> None:
        """Write the next frame, made by `convert`."""
        assert self._open
        frame.pts = self._frame_count
        frame.time_base = self._stream.codec_context.time_base
        self._mux(self._stream.encode(frame))
        self._frame_count += 1

    def close(self) -> int:
        """Flush, give the file its name and return how many frames it holds."""
        if self._open:
            try:
                self._mux(self._stream.encode(None))
                self._container.close()
                settle(self._aside, self._path)
            except BaseException:
                self.abort()
                raise
            self._open = False
        return self._frame_count

    def abort(self) -> None:
        """Give up; nothing is left behind. Harmless after `close`."""
        if self._open:
            self._open = False
            self._container.close()
            self._aside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _mux(self, packets: "list[av.Packet[av.VideoStream]]") -> None:
        for packet in packets:
            # x265 now and then stamps the only frame of a part as decoded after it is shown (seen in 1 of 100
            # runs), which the muxer refuses. Matroska stores no decode times, so any that rise will do.
            packet.dts = self._packet_count - _REORDER_MAX
            self._packet_count += 1
            self._container.mux(packet)


def _in_bits(high: HighFrame, depth: int) -> NDArray[np.uint16]:
    """Of sixteen; swscale would cut the others off instead of rounding."""
    if depth == DEPTH_MAX:
        return high.astype(np.uint16, copy=False)
    return ((high.astype(np.uint32) * ((1 << depth) - 1) + 32_767) // 65_535).astype(np.uint16)


def _add_encoder(container: av.container.OutputContainer, encoding: Encoding) -> av.VideoStream:
    rate = min(encoding.rate, Fraction(_RATE_MAX)).limit_denominator(1_000_000)
    stream = container.add_stream(_ENCODERS[encoding.codec], rate=rate, options=_options(encoding))
    assert isinstance(stream, av.VideoStream)
    context = stream.codec_context
    context.width, context.height = encoding.width, encoding.height
    context.pix_fmt = encoding.pix_fmt
    context.time_base = 1 / rate
    context.sample_aspect_ratio = encoding.sar
    context.thread_count = encoding.threads
    colour = encoding.written_colour
    context.colorspace = colour.matrix
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.color_range = colour.range
    return stream


def _options(encoding: Encoding) -> dict[str, str]:
    # The presets cost 12 and 22 ms of one core for a frame of 720x576; HEVC's "fast" costs 32 ms and makes
    # the file no smaller.
    if encoding.codec == "h264":
        params = f"rc-lookahead={encoding.lookahead}:open-gop=0"
        return {"preset": "fast", "crf": str(encoding.crf), "x264-params": params}
    if encoding.codec == "hevc":
        # No info: the message with x265's own settings would sit in the parameter sets.
        params = f"log-level=none:info=0:open-gop=0:rc-lookahead={encoding.lookahead}"
        params += f":frame-threads=1:pools={encoding.threads}"
        if min(encoding.width, encoding.height) < _CUTREE_SIDE_MIN:
            params += ":cutree=0"
        params += x265_params(encoding.light)
        return {"preset": "veryfast", "crf": str(encoding.crf), "x265-params": params}
    return {"level": "3", "g": "1", "slicecrc": "1"}
