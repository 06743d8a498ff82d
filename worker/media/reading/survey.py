"""Survey: how many frames a video has and where its detail is, by its packets; only a few are decoded.

Packets tell in a second what decoding takes minutes for, and may be wrong: a plan counts (timeline.py). Where
more bytes went, there was more to be coded: detail, and motion.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av

from service.auto import Traits
from service.errors import BrokenMedia
from worker.media.reading.coding import CodingMeter
from worker.media.reading.container import open_media
from worker.media.reading.decode import Packet, open_stream
from worker.media.traits import Meter, traits
from worker.media.types import Source

SAMPLE_S: Final = 3.0
DECODED: Final = 48  # packets, from the first key on
_BIN_S: Final = 0.5  # a sample begins at a multiple


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    frame_count: int  # in what was asked for
    richest_s: float  # where the SAMPLE_S with the most bytes begin, counted as `start` of a job is
    traits: Traits | None = None  # of its first frames


def survey(
    path: Path,
    source: Source,
    *,
    start_s: float | None = None,
    duration_s: float | None = None,
    on_packet: Callable[[], None] = lambda: None,
) -> Survey:
    """Raises BrokenMedia where there are no packets to be found."""
    first = start_s or 0.0
    last = float("inf") if duration_s is None else first + duration_s
    frame_count, bytes_by_bin = 0, Counter[int]()
    meter, decoded = Meter(), 0
    try:
        with open_media(path) as container:
            stream = open_stream(container, source)
            coding = CodingMeter(stream, source)
            for packet in container.demux(stream):
                on_packet()
                stamp = packet.dts if packet.pts is None else packet.pts
                if not packet.size or stamp is None or packet.time_base is None:
                    continue
                time_s = float(stamp * packet.time_base - source.start_s)
                if (start_s is None or time_s >= first) and time_s < last:
                    frame_count += 1
                    bytes_by_bin[max(0, int(time_s / _BIN_S))] += packet.size
                    coding.add(packet)
                    if decoded < DECODED and (decoded or packet.is_keyframe):
                        _look(stream, packet, meter)
                        decoded += 1
            _look(stream, None, meter)
    except av.FFmpegError as error:
        if not frame_count:
            raise BrokenMedia(f"the file cannot be read: {error.strerror}", field="file") from error
    if not frame_count:
        raise BrokenMedia("the video stream holds no frames", field="frames", value=0)
    return Survey(
        frame_count=frame_count,
        richest_s=_richest(bytes_by_bin) * _BIN_S,
        traits=traits(meter.finish(), *coding.finish()),
    )


def _look(stream: av.VideoStream, packet: "Packet | None", meter: Meter) -> None:
    """Measure what the decoder shows; None drains it. What is broken the plan will tell."""
    with suppress(av.FFmpegError):
        for picture in stream.decode(packet):
            meter.add(picture)


def _richest(bytes_by_bin: Counter[int]) -> int:
    """The bin where the fullest SAMPLE_S begin, all of them within the video where it is so long."""
    width = round(SAMPLE_S / _BIN_S)
    first, end = min(bytes_by_bin), max(bytes_by_bin) + 1
    starts = range(first, max(first + 1, end - width + 1))
    held = sum(bytes_by_bin[first + place] for place in range(width))
    best = (held, first)
    for start in starts[1:]:
        held += bytes_by_bin[start + width - 1] - bytes_by_bin[start - 1]
        best = max(best, (held, start), key=lambda found: (found[0], -found[1]))
    return best[1]
