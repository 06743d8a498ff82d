"""What a worker holds at most: does that grow with the length of a video, and how with its size?

    python -m benchmarks.memory [--frames 200 5000] [--size 180x144 640x360 1920x1080] [--json]

One worker does all of it, the smallest first, and its peak is read after each. A short and a long video of
one shot come first; then of each size as many frames as fill every queue there is, and a few more. The
largest run in tiles.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.shared.machine import peak_mib
from benchmarks.shared.markdown import table
from benchmarks.shared.service import running
from benchmarks.shared.texture import clip, read_size
from model_core.config import SCALE
from service.auto import PERCEPTUAL
from worker.engine.engine import queue_frames
from worker.media.types import Colour
from worker.media.writing.encoding import Encoding, h264_allows

MORE: Final = 8  # frames, in hand and in the decoder
BT709: Final = Colour(matrix=1, range=1)


@dataclass(frozen=True, slots=True)
class Extent:
    """lengths    in frames of `long_size`
    sizes         (width, height)
    few           frames of each size; None: as many as fill every queue
    """

    lengths: Sequence[int] = (200, 5000)
    long_size: tuple[int, int] = (96, 64)
    sizes: Sequence[tuple[int, int]] = ((180, 144), (640, 360), (1920, 1080))
    few: int | None = None


FULL: Final = Extent()
QUICK: Final = Extent(lengths=(50, 200), sizes=((180, 144), (320, 180)))


@dataclass(frozen=True, slots=True)
class Row:
    """Peak of the worker's resident memory since its start; nothing has run yet where there are no frames."""

    frame_count: int
    size: str
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Memory:
    model: str
    rows: Sequence[Row]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--frames", type=int, nargs="+", default=FULL.lengths)
    parser.add_argument("--size", type=read_size, nargs="+", default=FULL.sizes, help="width x height")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = measure(Extent(options.frames, FULL.long_size, options.size))
    print(json.dumps(asdict(found)) if options.json else "\n".join(page(found)))


def measure(extent: Extent) -> Memory:
    """By a service of its own, since a peak never falls."""
    model = PERCEPTUAL
    jobs = [(count, *extent.long_size) for count in sorted(extent.lengths)]
    jobs += [(extent.few or frames_to_fill(*size), *size) for size in sorted(extent.sizes)]
    with tempfile.TemporaryDirectory(prefix="upscaled-") as folder, running() as service:
        rows = [Row(0, "", peak_mib(service.worker_pid()))]
        for job in jobs:
            file = clip(Path(folder) / "clip.mp4", *job)
            service.succeeded(service.post(file, model=model))
            count, width, height = job
            rows.append(Row(count, f"{width}x{height}", peak_mib(service.worker_pid())))
    return Memory(model, rows)


def frames_to_fill(width: int, height: int) -> int:
    """Of that size: those that wait before and behind the engine, those the encoder holds, and a few."""
    wide, high = width * SCALE, height * SCALE
    encoding = Encoding(
        codec="h264" if h264_allows(wide, high) else "hevc", width=wide, height=high, colour=BT709
    )
    return 2 * queue_frames(wide * high * 3) + encoding.lookahead + MORE


def page(found: Memory) -> list[str]:
    body = [[row.frame_count, row.size or "at rest", f"{row.peak_mib:.0f}"] for row in found.rows]
    head = ["frames", "size", "peak, MiB"]
    return [f"One worker, one job after the other, by `{found.model}`.", "", *table(head, body), ""]


if __name__ == "__main__":
    main()
