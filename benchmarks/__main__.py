"""`python -m benchmarks [--quick] [--folder DIR]`: every measurement that this machine can make, as a page.

Writes RESULTS.md and RESULTS.svg, each whole or not at all. --quick takes less than three minutes and says
little of speed: it shows that all of it runs.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from benchmarks import memory, pictures, pipeline, steps
from benchmarks.plot import draw
from benchmarks.shared import machine
from benchmarks.shared.service import running
from worker.media.writing.atomic import written_whole

PAGE, DRAWING = "RESULTS.md", "RESULTS.svg"


@dataclass(frozen=True, slots=True)
class Extent:
    """What each measurement is to do; models are those that the service has by default."""

    of_steps: steps.Extent = steps.FULL
    of_pipeline: pipeline.Extent = pipeline.FULL
    of_pictures: pictures.Extent = pictures.FULL
    of_memory: memory.Extent = memory.FULL


FULL: Final = Extent()
QUICK: Final = Extent(steps.QUICK, pipeline.QUICK, pictures.QUICK, memory.QUICK)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small and short, to see that it runs")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="where the page goes")
    options = parser.parse_args(arguments)
    write(QUICK if options.quick else FULL, options.folder)


def write(extent: Extent, folder: Path) -> None:
    """Measure, then write the page and its drawing.

    Each part is printed as soon as it is there, so that what a later one breaks need not be measured again.
    """
    began, load = time.monotonic(), machine.load()
    commit = machine.commit()  # before the page itself is what was changed
    found_steps = steps.measure(extent.of_steps)
    parts = [
        _told("One frame", [*steps.page(found_steps), f"![Times as fast as the common loop]({DRAWING})", ""])
    ]
    with running() as service:
        parts.append(_told("A whole video", pipeline.page(pipeline.measure(extent.of_pipeline, service))))
        parts.append(_told("Pictures", pictures.page(pictures.measure(extent.of_pictures, service))))
    parts.append(_told("Memory", memory.page(memory.measure(extent.of_memory))))
    if torch.cuda.is_available():
        parts.append(_told("GPU", _gpu()))
    minutes = (time.monotonic() - began) / 60
    head = [
        "# Results of `make bench`",
        "",
        f"- Machine: {machine.described()}.",
        f"- Commit: {commit}.",
        f"- The run took {minutes:.1f} minutes. Load when it began: {load:.1f}.",
        "- All cases of a table take turns. A figure is the median of the rounds, a ratio the median of the",
        "  ratios within each round. On a busy machine ratios hold better than figures.",
        "",
    ]
    with written_whole(folder / DRAWING) as aside:
        draw(found_steps.rows, aside)
    with written_whole(folder / PAGE) as aside:
        aside.write_text("\n".join(head + [line for part in parts for line in part]).rstrip() + "\n")
    print(f"{folder / PAGE}, after {minutes:.1f} minutes")


def _told(title: str, lines: Sequence[str]) -> list[str]:
    """A part of the page, shown to whoever waits for all of it."""
    part = [f"## {title}", "", *lines]
    print("\n".join(part), flush=True)
    return part


def _gpu() -> list[str]:
    """In a process of its own, as it sets up PyTorch in its own way."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, "-m", "benchmarks.gpu", "--json", file.name]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.splitlines()


if __name__ == "__main__":
    main()
