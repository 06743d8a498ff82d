"""One frame: the loop that others run, our models in every runtime, and our peers, all in the same rounds.

    python -m benchmarks.steps [--size 180x144 320x180] [--seconds 80] [--json]

A step is all that a frame costs but decoding and encoding. Its share of the peak is of its network's
multiplications alone, against the best matrix multiplication in the same format of the whole run.
"""

import argparse
import itertools
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from benchmarks.contenders import AS_PUBLISHED, Contender, contenders
from benchmarks.loops import Spent
from benchmarks.peak import Multiplication, operations_a_pixel
from benchmarks.shared.markdown import number, table
from benchmarks.shared.rounds import in_rounds, median_ratio
from benchmarks.shared.texture import moving, read_size
from worker.engine.backends.precision import Precision, native

FRAMES: Final = 8  # that pass round and round
RUNTIMES: Final = {
    AS_PUBLISHED: "as published",
    "openvino-cpu": "ours, OpenVINO",
    "torch-cpu": "ours, PyTorch",
}


@dataclass(frozen=True, slots=True)
class Extent:
    """sizes        (width, height) of low frames, one after the other
    pixels          of low frames that a case runs in a round: one frame at least
    seconds         for the rounds of each size
    """

    sizes: Sequence[tuple[int, int]]
    pixels: int
    rounds_min: int
    seconds: float


FULL: Final = Extent(((180, 144), (320, 180), (640, 360)), 4 * 180 * 144, 3, 80)
QUICK: Final = Extent(((96, 64),), 96 * 64, 2, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """A contender at a size.

    ratio        times as fast as the common loop, in the same round
    peak_share   None where there is no network
    """

    group: str
    network: str
    runtime: str
    precision: Precision
    width: int
    height: int
    frame_ms: float
    flow_ms: float
    ratio: float
    peak_share: float | None
    losses_db: tuple[float, ...]
    rounds: int

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Steps:
    """peaks   operations a second, the best of all rounds"""

    rows: Sequence[Row]
    peaks: dict[Precision, float]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--size", type=read_size, nargs="+", default=FULL.sizes, help="width x height")
    parser.add_argument("--seconds", type=float, default=FULL.seconds, help="for each size")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    steps = measure(Extent(options.size, FULL.pixels, FULL.rounds_min, options.seconds))
    print(json.dumps(asdict(steps)) if options.json else "\n".join(page(steps)))


def measure(extent: Extent) -> Steps:
    found: list[tuple[Contender, tuple[int, int], list[Spent], list[Spent]]] = []
    peaks: dict[Precision, float] = dict.fromkeys(native("cpu"), 0.0)
    for size in extent.sizes:
        # Made anew for each size, so that only the graphs of one lie in memory.
        taking_part = list(contenders())
        spent, of_size = _in_turn(extent, size, taking_part)
        peaks = {precision: max(peak, of_size[precision]) for precision, peak in peaks.items()}
        found += [(each, size, own, spent[0]) for each, own in zip(taking_part, spent, strict=True)]
    return Steps([_row(*each, peaks) for each in found], peaks)


def _in_turn(
    extent: Extent, size: tuple[int, int], taking_part: Sequence[Contender]
) -> tuple[list[list[Spent]], dict[Precision, float]]:
    """What a frame took each of them in each round, and the peaks."""
    width, height = size
    frames = list(moving(FRAMES, width, height))
    count = max(1, extent.pixels // (width * height))
    loops = [contender.loop(frames) for contender in taking_part]
    for loop in loops:
        next(loop)  # compiles
    peaks: dict[Precision, float] = {}
    multiplications = {precision: Multiplication(precision) for precision in native("cpu")}

    def note_peaks() -> list[Spent]:
        for precision, multiplication in multiplications.items():
            peaks[precision] = max(peaks.get(precision, 0.0), multiplication())
        return []

    cases: list[Callable[[], list[Spent]]] = [partial(_take, loop, count) for loop in loops]
    found = in_rounds(
        dict(enumerate([*cases, note_peaks])), rounds_min=extent.rounds_min, seconds=extent.seconds
    )
    return [[_mean(each) for each in found[index]] for index in range(len(cases))], peaks


def _take(loop: Iterator[Spent], count: int) -> list[Spent]:
    return list(itertools.islice(loop, count))


def _mean(spent: Sequence[Spent]) -> Spent:
    return Spent(*map(statistics.mean, zip(*spent, strict=True)))


def _row(
    contender: Contender,
    size: tuple[int, int],
    spent: Sequence[Spent],
    common: Sequence[Spent],
    peaks: Mapping[Precision, float],
) -> Row:
    operations = operations_a_pixel(contender.config) * size[0] * size[1]
    step_s = statistics.median(each.step_s for each in spent)
    return Row(
        contender.group,
        contender.network,
        contender.runtime,
        contender.precision,
        *size,
        frame_ms=1000 * statistics.median(each.all_s for each in spent),
        flow_ms=1000 * statistics.median(each.flow_s for each in spent),
        ratio=median_ratio([each.all_s for each in common], [each.all_s for each in spent]),
        peak_share=operations / step_s / peaks[contender.precision] if operations else None,
        losses_db=contender.losses,
        rounds=len(spent),
    )


def page(steps: Steps) -> list[str]:
    lines = [
        "Peak, by matrix multiplication: "
        + ", ".join(f"{precision} {peak / 1e9:.0f}" for precision, peak in steps.peaks.items())
        + " thousand million operations a second, a multiplication and an addition being two. OpenVINO can",
        "pass 100% where it multiplies less by an algorithm (Winograd), or is better at sharing busy cores.",
        "",
    ]
    head = [
        "network",
        "run by",
        "format",
        "ms a frame",
        "of it motion",
        "times as fast",
        "of the peak",
        "loss, dB",
    ]
    for size, rows in itertools.groupby(steps.rows, lambda row: row.size):
        of_size = list(rows)
        lines += [f"### {size}, {of_size[0].rounds} rounds", ""]
        lines += [*table(head, [_cells(row) for row in of_size]), ""]
    return lines


def _cells(row: Row) -> list[str | None]:
    return [
        row.network,
        RUNTIMES[row.runtime],
        row.precision,
        number(row.frame_ms),
        number(row.flow_ms) if row.flow_ms >= 0.1 else None,
        number(row.ratio),
        None if row.peak_share is None else f"{row.peak_share:.0%}",
        " / ".join(f"{loss:.4f}" for loss in row.losses_db) or None,
    ]


if __name__ == "__main__":
    main()
