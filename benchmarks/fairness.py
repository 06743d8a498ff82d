"""Pictures posted while a film is being made: when each is done, against when it would be without the film.

    python -m benchmarks.fairness [--pictures 50] [--minutes 20] [--shots 1800] [--json]

One service with one worker, small frames and `bicubic`, where everything but the network is measured. Of N
pictures and a film each has one share of the worker: so a picture should be done when it would be without the
film, and an N-th of that later. Times are from the first upload on, by the store's clock.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2

from benchmarks.pictures import AT_ONCE
from benchmarks.shared.markdown import number, table
from benchmarks.shared.service import JOB_S_MAX, Measured, running
from benchmarks.shared.texture import RATE, moving
from tests.worker.media.clips import Rgb, make_clip, numbered

MODEL: Final = "bicubic"
WIDTH, HEIGHT = 64, 48  # of the film
SOME: Final = 0.01  # share of the film that is done before the pictures come, and waited for afterwards
LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Extent:
    pictures: int = 50
    minutes: float = 20.0
    shots: int = 1800

    @property
    def frame_count(self) -> int:
        return round(self.minutes * 60 * RATE)


FULL: Final = Extent()


@dataclass(frozen=True, slots=True)
class Fairness:
    """late_s        of each picture, in order of ending: after its fair share; negative is before
    film_frames   that were done while the pictures were
    film_after_s  for as many more as one in a hundred
    """

    extent: Extent
    alone_s: Sequence[float]
    beside_s: Sequence[float]
    late_s: Sequence[float]
    film_frames: int
    film_after_s: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fairness", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--pictures", type=int, default=FULL.pictures)
    parser.add_argument("--minutes", type=float, default=FULL.minutes, help="that the film lasts")
    parser.add_argument("--shots", type=int, default=FULL.shots, help="of the film")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with running() as service:
        found = measure(Extent(options.pictures, options.minutes, options.shots), service)
    print(json.dumps(asdict(found)) if options.json else "\n".join(page(found)))


def measure(extent: Extent, service: Measured) -> Fairness:
    with tempfile.TemporaryDirectory(prefix="upscaled-") as name:
        folder = Path(name)
        pictures = _pictures(folder, extent.pictures)
        source = make_clip(folder / "film.mp4", _film(extent), width=WIDTH, height=HEIGHT, rate=RATE)
        done_at(service, pictures[:AT_ONCE])  # warms up
        alone_s = done_at(service, pictures)
        film = service.post(source, model=MODEL)
        some = max(1, round(SOME * extent.frame_count))
        _wait_for(service, film, some)
        before = _frames(service, film)
        beside_s = done_at(service, pictures)
        after, began = _frames(service, film), time.monotonic()
        assert after < extent.frame_count - some, "the film was over before the pictures were: make it longer"
        _wait_for(service, film, after + some)
        film_after_s = time.monotonic() - began
        service.http.post(f"/jobs/{film}/cancel").raise_for_status()  # that it ends well, tests show
    share = (extent.pictures + 1) / extent.pictures
    late_s = [beside - share * alone for beside, alone in zip(beside_s, alone_s, strict=True)]
    return Fairness(extent, alone_s, beside_s, late_s, after - before, film_after_s)


def _wait_for(service: Measured, job_id: str, frames_done: int) -> None:
    deadline = time.monotonic() + JOB_S_MAX
    while _frames(service, job_id) < frames_done:
        assert time.monotonic() < deadline, service.log
        time.sleep(LOOK_S)


def done_at(service: Measured, pictures: Sequence[Path]) -> list[float]:
    """When each was done, in order, by the seconds since the first was accepted; all are posted at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ids = list(pool.map(partial(service.post, model=MODEL), pictures))
    jobs: list[dict[str, Any]] = [service.succeeded(job_id) for job_id in ids]
    began = min(job["created_at"] for job in jobs)
    return sorted(job["updated_at"] - began for job in jobs)


def _frames(service: Measured, job_id: str) -> int:
    found = service.job(job_id)
    assert found["state"] not in {"failed", "cancelled"}, found
    return int(found["progress"]["frames_done"])


def _pictures(folder: Path, count: int) -> list[Path]:
    files = [folder / f"{index}.png" for index in range(count)]
    for file, picture in zip(files, moving(count, 90, 70), strict=True):
        cv2.imwrite(str(file), picture)
    return files


def _film(extent: Extent) -> Iterator[Rgb]:
    """Scenes that have nothing in common, one after the other, of about one length."""
    for shot in range(extent.shots):
        first, stop = (extent.frame_count * each // extent.shots for each in (shot, shot + 1))
        yield from numbered(stop - first, WIDTH, HEIGHT, seed=shot, first=shot % 1024)


def page(found: Fairness) -> list[str]:
    extent = found.extent
    head = ["pictures", "s to the last, alone", "beside the film", "late, median", "late, most"]
    row = [
        extent.pictures,
        number(found.alone_s[-1]),
        number(found.beside_s[-1]),
        number(statistics.median(found.late_s)),
        number(max(found.late_s)),
    ]
    return [
        f"Through `upscaled serve`: {extent.pictures} pictures of 90x70 posted while a film of "
        f"{number(extent.minutes)} minutes and {extent.shots} shots is made. Late: by how many seconds a "
        f"picture was done after its fair share of the worker, one of {extent.pictures + 1}.",
        "",
        *table(head, [row]),
        "",
        f"Meanwhile the film went on by {found.film_frames} frames of {extent.frame_count}; the next "
        f"{round(SOME * extent.frame_count)} took {number(found.film_after_s)} s.",
        "",
    ]


if __name__ == "__main__":
    main()
