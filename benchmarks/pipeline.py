"""A whole video: file to file by the command, through a service, and by another checkout, in the same rounds.

    python -m benchmarks.pipeline [--seconds 4] [--size 320x180] [--model NAME] [--against DIR] [--json]

DIR is a checkout: of an older commit, say, by `git worktree add DIR COMMIT`. Its own .venv runs it, or else
this one. A perfect pipeline lasts as long as its slowest stage. Each time is of a process of its own, from
start to end, but the service's, which is up when the upload begins.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.shared import command
from benchmarks.shared.markdown import number, table
from benchmarks.shared.rounds import in_rounds, median_ratio
from benchmarks.shared.service import Measured, running
from benchmarks.shared.texture import RATE, clip, read_size
from service.auto import PERCEPTUAL

HERE: Final = Path(__file__).parents[1]
LOOK_S: Final = 0.25  # a hundred looks a second take a fifth of a core from the worker
COMMAND, SERVICE, AGAINST = "upscaled upscale", "upscaled serve", "the other checkout"


@dataclass(frozen=True, slots=True)
class Extent:
    """model   by which; None: the one that videos get by default"""

    size: tuple[int, int] = (320, 180)
    seconds: float = 4.0
    model: str | None = None
    rounds: int = 3
    against: Path | None = None

    @property
    def frame_count(self) -> int:
        return max(1, round(self.seconds * RATE))


FULL: Final = Extent()
QUICK: Final = Extent(size=(96, 64), seconds=0.4, rounds=1)


@dataclass(frozen=True, slots=True)
class Took:
    """wall_s   of the process, or from upload to the end of the job
    job_s       of the job alone
    stages      seconds of each, over all threads
    """

    wall_s: float
    job_s: float
    stages: Mapping[str, float]
    runtime: str


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of the rounds; ratios are medians of those within a round.

    to_slowest       the job's time by that of its slowest stage
    times_as_fast    as the other checkout: the whole, and the job alone; None without one
    """

    way: str
    runtime: str
    wall_s: float
    job_s: float
    frames_per_s: float
    stages: Mapping[str, float]
    slowest: str
    to_slowest: float
    times_as_fast: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    size: str
    model: str
    frame_count: int
    rounds: int
    rows: Sequence[Row]


def main(arguments: Sequence[str] | None = None) -> None:
    extent = FULL
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--seconds", type=float, default=extent.seconds, help="of video, 25 frames each")
    parser.add_argument("--size", type=read_size, default=extent.size, help="width x height")
    parser.add_argument("--model", help="by default the one that videos get")
    parser.add_argument("--rounds", type=int, default=extent.rounds)
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    asked = Extent(options.size, options.seconds, options.model, options.rounds, options.against)
    with running() as service:
        found = measure(asked, service)
    print(json.dumps(asdict(found)) if options.json else "\n".join(page(found)))


def measure(extent: Extent, service: Measured) -> Pipeline:
    model = extent.model or PERCEPTUAL
    with tempfile.TemporaryDirectory(prefix="upscaled-") as name:
        folder = Path(name)
        source = clip(folder / "clip.mp4", extent.frame_count, *extent.size)
        by_service(service, clip(folder / "first.mp4", 2, *extent.size), model)  # compiles
        cases: dict[str, Callable[[], Took]] = {
            COMMAND: partial(by_command, HERE, source, model),
            SERVICE: partial(by_service, service, source, model),
        }
        if extent.against is not None:
            cases[AGAINST] = partial(by_command, extent.against.resolve(), source, model)
        found = in_rounds(cases, rounds_min=extent.rounds)
    size = f"{extent.size[0]}x{extent.size[1]}"
    return Pipeline(size, model, extent.frame_count, extent.rounds, summed_up(found, extent.frame_count))


def summed_up(found: Mapping[str, Sequence[Took]], frame_count: int) -> list[Row]:
    return [_row(way, took, found.get(AGAINST), frame_count) for way, took in found.items()]


def by_command(checkout: Path, source: Path, model: str) -> Took:
    own = checkout / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    with tempfile.TemporaryDirectory(prefix="upscaled-") as folder:
        report, target = Path(folder) / "report.json", Path(folder) / "result.mp4"
        wanted = ["upscale", str(source), str(target), "--model", model]
        # A data folder of its own: the user's may hold a model of that name.
        environment = os.environ | {"PYTHONPATH": str(checkout), "UPSCALED_DATA_DIR": folder}
        started = time.perf_counter()
        subprocess.run(
            [python, "-P", command.__file__, str(report), *wanted], cwd=checkout, env=environment, check=True
        )
        return _took(time.perf_counter() - started, json.loads(report.read_text()))


def by_service(service: Measured, source: Path, model: str) -> Took:
    started = time.perf_counter()
    job = service.succeeded(service.post(source, model=model), look_s=LOOK_S)
    return _took(time.perf_counter() - started, job["report"])


def _took(wall_s: float, report: Mapping[str, Any]) -> Took:
    runtime = f"{report['backend']} {report['precision']}"
    return Took(wall_s, report["wall_s"], report["seconds_by_stage"], runtime)


def _row(way: str, took: Sequence[Took], against: Sequence[Took] | None, frame_count: int) -> Row:
    names = sorted({name for each in took for name in each.stages})
    stages = {name: statistics.median(each.stages.get(name, 0.0) for each in took) for name in names}
    wall_s = statistics.median(each.wall_s for each in took)
    return Row(
        way,
        took[0].runtime,
        wall_s,
        job_s=statistics.median(each.job_s for each in took),
        frames_per_s=frame_count / wall_s,
        stages=stages,
        slowest=max(stages, key=lambda name: stages[name]),
        to_slowest=median_ratio([each.job_s for each in took], [max(each.stages.values()) for each in took]),
        times_as_fast=None if against is None else _times_as_fast(took, against),
    )


def _times_as_fast(took: Sequence[Took], against: Sequence[Took]) -> tuple[float, float]:
    return (
        median_ratio([each.wall_s for each in against], [each.wall_s for each in took]),
        median_ratio([each.job_s for each in against], [each.job_s for each in took]),
    )


def page(found: Pipeline) -> list[str]:
    head = [
        "way",
        "runtime",
        "s",
        "of it the job",
        "frames a second",
        "slowest stage",
        "job to slowest stage",
    ]
    if found.rows[0].times_as_fast:
        head += ["times as fast", "the job alone"]
    body = [
        [
            row.way,
            row.runtime,
            number(row.wall_s),
            number(row.job_s),
            number(row.frames_per_s),
            row.slowest,
            f"{row.to_slowest:.2f}",
            *([number(ratio) for ratio in row.times_as_fast] if row.times_as_fast else []),
        ]
        for row in found.rows
    ]
    stages = list(dict.fromkeys(name for row in found.rows for name in row.stages))
    by_stage = [
        [stage, *(f"{row.stages[stage]:.2f}" if stage in row.stages else None for row in found.rows)]
        for stage in stages
    ]
    return [
        f"{found.frame_count} frames of {found.size} by `{found.model}`, {found.rounds} rounds.",
        "",
        *table(head, body),
        "",
        *table(["seconds by stage", *(row.way for row in found.rows)], by_stage),
        "",
    ]


if __name__ == "__main__":
    main()
