"""Pictures through a service: how many small ones a second, and whether it is better to send many at once.

    python -m benchmarks.pictures [--rounds 3] [--json]

Small ones, all at once, by `bicubic`, where everything but the network is measured; larger ones at once
against one after the other, by `bicubic` and by the model that clean pictures get.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import cv2

from benchmarks.shared.markdown import number, table
from benchmarks.shared.rounds import in_rounds, median_ratio
from benchmarks.shared.service import Measured, running
from benchmarks.shared.texture import moving
from service.auto import PERCEPTUAL

AT_ONCE: Final = 16  # uploads in flight
SELDOM_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Extent:
    """small, large   how many pictures of 90x70 and of 200x200"""

    small: int = 100
    large: int = 16
    rounds: int = 3


FULL: Final = Extent()
QUICK: Final = Extent(small=24, large=8, rounds=1)


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of the rounds.

    against_in_turn   times as fast at once as one after the other; None where that was not done
    """

    count: int
    size: str
    model: str
    at_once_s: float
    in_turn_s: float | None
    against_in_turn: float | None


@dataclass(frozen=True, slots=True)
class Pictures:
    rounds: int
    rows: Sequence[Row]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--rounds", type=int, default=FULL.rounds)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with running() as service:
        found = measure(Extent(rounds=options.rounds), service)
    print(json.dumps(asdict(found)) if options.json else "\n".join(page(found)))


def measure(extent: Extent, service: Measured) -> Pictures:
    default = PERCEPTUAL
    with tempfile.TemporaryDirectory(prefix="upscaled-") as folder:
        small = _files(Path(folder), extent.small, 90, 70)
        large = _files(Path(folder), extent.large, 200, 200)
        cases: dict[tuple[str, str], Callable[[], float]] = {
            ("small", "bicubic"): partial(at_once, service, small, "bicubic")
        }
        for model in dict.fromkeys(("bicubic", default)):
            in_turn(service, large[:1], model)  # compiles
            cases["at once", model] = partial(at_once, service, large, model)
            cases["in turn", model] = partial(in_turn, service, large, model)
        found = in_rounds(cases, rounds_min=extent.rounds)
    small_s = statistics.median(found.pop(("small", "bicubic")))
    rows = [Row(extent.small, "90x70", "bicubic", small_s, None, None)]
    for model in dict.fromkeys(model for _, model in found):
        together, one_by_one = found["at once", model], found["in turn", model]
        medians = statistics.median(together), statistics.median(one_by_one)
        rows.append(Row(extent.large, "200x200", model, *medians, median_ratio(one_by_one, together)))
    return Pictures(extent.rounds, rows)


def at_once(service: Measured, pictures: Sequence[Path], model: str) -> float:
    """Seconds from the first upload to the end of the last job, by the service's own clock.

    Asking for all of them meanwhile would take a good part of two cores; so that is done when the newest has
    ended, and nearly all the others have.
    """
    began_at = time.time()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        job_ids = list(pool.map(partial(service.post, model=model), pictures))
    jobs = [service.succeeded(job_id, look_s=SELDOM_S) for job_id in reversed(job_ids)]
    return float(max(job["finished_at"] for job in jobs)) - began_at


def in_turn(service: Measured, pictures: Sequence[Path], model: str) -> float:
    started = time.perf_counter()
    for picture in pictures:
        service.succeeded(service.post(picture, model=model))
    return time.perf_counter() - started


def _files(folder: Path, count: int, width: int, height: int) -> list[Path]:
    files = [folder / f"{width}x{height}-{index}.png" for index in range(count)]
    for file, picture in zip(files, moving(count, width, height), strict=True):
        cv2.imwrite(str(file), picture)
    return files


def page(found: Pictures) -> list[str]:
    head = [
        "pictures",
        "size",
        "model",
        "pictures a second",
        "s at once",
        "s in turn",
        "times as fast at once",
    ]
    body = [
        [
            row.count,
            row.size,
            row.model,
            number(row.count / row.at_once_s),
            number(row.at_once_s),
            number(row.in_turn_s),
            number(row.against_in_turn),
        ]
        for row in found.rows
    ]
    return [f"Through `upscaled serve`, {found.rounds} rounds.", "", *table(head, body), ""]


if __name__ == "__main__":
    main()
