"""Encoder of one part: RGB frames in, one closed run of packets in a Matroska file out.

Every part of a job is made with the same settings, so all carry the same parameter sets and join.py can lay
their packets end to end. The times inside a part mean nothing but order; join.py writes the real ones.
Not here: which settings there are (encoding.py, encoders.py).
"""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from worker.frames import HighFrame, YuvFrame, is_deep, is_yuv
from worker.media.colour import for_swscale, rgb_format, to_yuv
from worker.media.writing.atomic import aside_of, settle
from worker.media.writing.encoders import ENCODERS, options_of
from worker.media.writing.encoding import Encoding

DEPTH_MAX = 16  # of our frames

_REORDER_MAX = 32  # no encoder here holds back more frames
_RATE_MAX = 500  # Matroska's millisecond must keep the order of frames


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

    def convert(self, high: HighFrame | YuvFrame) -> av.VideoFrame:
        """As the encoder takes it: a frame (H, W, 3) RGB, uint8 or deep, or what `Encoding.yuv` makes."""
        if is_yuv(high):
            assert high.shape == (self._encoding.height * 3 // 2, self._encoding.width)
            return self._tagged(av.VideoFrame.from_numpy_buffer(high, format="yuv420p"))
        return self._tagged(self._converted(high))

    def _converted(self, high: HighFrame) -> av.VideoFrame:
        encoding = self._encoding
        assert high.shape == (encoding.height, encoding.width, 3)
        assert is_deep(high) == encoding.is_deep
        if encoding.codec == "ffv1" and encoding.is_deep:
            return av.VideoFrame.from_ndarray(_in_bits(high, encoding.depth), format=encoding.pix_fmt)
        picture = np.ascontiguousarray(for_swscale(high))
        return self._converter.convert(
            av.VideoFrame.from_numpy_buffer(picture, format=rgb_format(encoding.is_deep))
        )

    def _tagged(self, frame: av.VideoFrame) -> av.VideoFrame:
        colour = self._encoding.written_colour
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
    stream = container.add_stream(ENCODERS[encoding.codec], rate=rate, options=options_of(encoding))
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
