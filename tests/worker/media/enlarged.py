"""Takes a clip through the whole of worker.media with the network replaced by repeating pixels."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from worker.media.colour import encodable
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.reading.tracks import choose_container
from worker.media.types import Limits, Source, Timeline
from worker.media.writing.encode import PartEncoder
from worker.media.writing.encoding import Encoding, depth_of
from worker.media.writing.join import JoinReport, assemble

LIMITS = Limits(pixels_max=1_000_000, duration_s_max=600)
SCALE = 2


@dataclass(frozen=True)
class Enlarged:
    path: Path
    source: Source
    timeline: Timeline
    report: JoinReport
    reasons: tuple[str, ...]

    @property
    def wanted_s(self) -> list[Fraction]:
        return [time * self.timeline.time_base for time in self.timeline.times]


def enlarge(
    clip: Path,
    *,
    codec="h264",
    container=None,
    cuts=(7, 8),
    start_s=None,
    duration_s=None,
    deinterlace="auto",
) -> Enlarged:
    source = probe(clip, limits=LIMITS)
    timeline = scan(
        clip, source, limits=LIMITS, start_s=start_s, duration_s=duration_s, deinterlace=deinterlace
    )
    encoding = Encoding(
        codec=codec,
        width=source.width * SCALE,
        height=source.height * SCALE,
        colour=encodable(source.colour),
        depth=depth_of(codec, source.depth),
        is_deep=source.is_deep,
        light=source.light,
        sar=source.sar,
        rate=source.rate,
    )
    edges = [0, *(cut for cut in cuts if cut < timeline.frame_count), timeline.frame_count]
    parts = []
    for start, stop in pairwise(edges):
        parts.append(clip.with_name(f"{clip.stem}-{start}.part.mkv"))
        with PartEncoder(parts[-1], encoding) as part:
            for low in decode(clip, source, timeline, start, stop):
                part.write(np.repeat(np.repeat(low, SCALE, 0), SCALE, 1))
    kind, reasons = choose_container(source, container, codec=codec)
    out = clip.with_name(f"{clip.stem}-result.{kind}")
    report = assemble(
        parts,
        source_path=clip,
        source=source,
        timeline=timeline,
        encoding=encoding,
        container=kind,
        out=out,
        is_trimmed=start_s is not None or duration_s is not None,
    )
    for path in parts:
        path.unlink()
    return Enlarged(out, source, timeline, report, reasons)


def shown_s(path: Path) -> list[Fraction]:
    """When each frame is shown, by the decoder."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def packets_of(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """Time and bytes of every packet, for each stream of a kind."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found = {stream.index: [] for stream in streams}
        for packet in container.demux(streams) if streams else ():
            if packet.pts is not None:
                found[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(found.values())
