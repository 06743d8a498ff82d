"""Plot: how many times as fast as the common loop each network runs, by runtime and size of picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.steps import RUNTIMES, Row

ROW_INCHES = 0.34


def draw(rows: Sequence[Row], path: Path) -> None:
    """Bars from one, on a scale where twice as fast is as far everywhere."""
    sizes = list(dict.fromkeys(row.size for row in rows))
    names = list(dict.fromkeys(_name(row) for row in rows if row.peak_share is not None))
    bar = 0.8 / len(sizes)
    # The same drawing gives the same file.
    with mpl.rc_context({"svg.hashsalt": "upscaled", "font.size": 9}):
        figure = Figure(figsize=(8, 1 + ROW_INCHES * len(names)), layout="constrained")
        axes = figure.subplots()
        for index, size in enumerate(sizes):
            of_size = [row for row in rows if row.size == size and row.peak_share is not None]
            places = [names.index(_name(row)) + bar * (index - (len(sizes) - 1) / 2) for row in of_size]
            axes.barh(places, [row.ratio - 1 for row in of_size], bar, left=1, label=size)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("times as fast as the common loop, in the same round")
        axes.legend(title="input")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _name(row: Row) -> str:
    return f"{row.network}: {RUNTIMES[row.runtime]} {row.precision}"
