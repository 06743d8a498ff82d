"""Coding: how coarsely a video stream was coded, from its packets: bits a pixel, and H.264's quantiser.

FFmpeg's decoder of H.264 tells quantisers with each picture, but with several threads before they are all
there. So a decoder of one thread reads some packets here: those after a few keys, spread ever wider.
Start at `CodingMeter`.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeAlias, cast

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType

from worker.media.types import Source

Packet: TypeAlias = "av.Packet[av.VideoStream]"  # generic in PyAV's stubs only

_RUN: Final = 16  # packets from a key on
_SPREAD: Final = 3  # times as far into the stream as the run before
# FFmpeg's AVVideoEncParams; what follows at `offset` are blocks: x, y, width, height, difference to `qp`.
_HEAD: Final = np.dtype(
    {
        "names": ["count", "offset", "size", "kind", "qp"],
        "formats": ["u4", "u8", "u8", "i4", "i4"],
        "offsets": [0, 8, 16, 24, 28],
    }
)
_H264: Final = 1
_DIFFERENCE: Final = 4


class CodingMeter:
    """Takes all packets of a stream in the order of the file."""

    def __init__(self, stream: av.VideoStream, source: Source) -> None:
        self._pixels = source.width * source.height
        self._packets = self._bytes = 0
        self._left, self._next = 0, 0  # packets of the run, and of the stream until another begins
        self._sum, self._pictures = 0.0, 0
        self._decoder: av.VideoCodecContext | None = None
        if source.codec == "h264":
            self._decoder = av.VideoCodecContext.create("h264", "r")
            self._decoder.extradata = stream.codec_context.extradata
            self._decoder.thread_count = 1
            self._decoder.options = {"export_side_data": "venc_params"}

    def watch(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        for packet in packets:
            self.add(packet)
            yield packet

    def add(self, packet: Packet) -> None:
        if self._decoder is not None:
            if packet.is_keyframe and not self._left and self._packets >= self._next:
                self._left, self._next = _RUN, max(_RUN, self._packets) * _SPREAD
            if self._left:
                self._left -= 1
                self._look(packet)
                if not self._left:
                    self._look(None)
                    self._decoder.flush_buffers()
        self._packets += 1
        self._bytes += packet.size

    def finish(self) -> tuple[float | None, float | None]:
        """Mean quantiser on H.264's scale of 0 to 51, None where it isn't told; bits a pixel."""
        if self._left:
            self._look(None)
        quantiser = self._sum / self._pictures if self._pictures else None
        return quantiser, 8 * self._bytes / (self._packets * self._pixels) if self._packets else None

    def _look(self, packet: "Packet | None") -> None:
        """What is broken, the pass over all frames tells."""
        assert self._decoder is not None
        with suppress(av.FFmpegError):
            for picture in self._decoder.decode(packet):
                for side in cast("Iterable[SideData]", picture.side_data):
                    if side.type == SideDataType.VIDEO_ENC_PARAMS:
                        self._note(bytes(side))

    def _note(self, told: bytes) -> None:
        head = np.frombuffer(told, _HEAD, 1)[0]
        if head["kind"] == _H264 and head["count"]:
            fields = int(head["size"]) // 4
            blocks = np.frombuffer(told, np.int32, int(head["count"]) * fields, int(head["offset"]))
            self._sum += float(head["qp"] + blocks.reshape(-1, fields)[:, _DIFFERENCE].mean())
            self._pictures += 1
