"""Journal: what a run tells about itself: log.jsonl, curves.png, and TensorBoard where it is installed.

Curves are drawn with OpenCV, so a bare machine draws them too.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

LOG: Final = "log.jsonl"
WIDTH: Final = 900
HEIGHT: Final = 260
MARGIN: Final = 60
TIMES: Final = ("seconds", "step_s", "waited_s", "gpx", "core_hours")  # noted for reading, not for drawing


class Journal:
    """Appends to one folder; a resumed run goes on in the same files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._board = _tensorboard(folder)

    def note(self, step: int, **values: Any) -> None:
        """One line of the log; numbers go to TensorBoard as well."""
        with (self._folder / LOG).open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, step)

    def show(self, step: int, sheet: NDArray[np.uint8]) -> None:
        """A sheet of crops (H, W, 3) RGB: as PNG under sheets/, and for TensorBoard."""
        sheets = self._folder / "sheets"
        sheets.mkdir(exist_ok=True)
        cv2.imwrite(str(sheets / f"step{step:08d}.png"), sheet[..., ::-1])
        if self._board is not None:
            self._board.add_image("sheet", sheet, step, dataformats="HWC")

    def draw(self) -> None:
        """curves.png from the whole log: whatever was noted, over steps."""
        lines = [json.loads(line) for line in (self._folder / LOG).read_text().splitlines()]
        names = {name: None for line in lines for name in line if isinstance(line[name], float)}
        panels = [
            draw_curve(name, [(line["step"], line[name]) for line in lines if name in line])
            for name in names
            if name not in TIMES
        ]
        if panels:
            cv2.imwrite(str(self._folder / "curves.png"), np.concatenate(panels))


class Bar:
    """Per cent of the schedule with the time left, by tqdm where it is installed and someone watches."""

    def __init__(self, title: str) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm  # noqa: PLC0415 (optional)

                self._bar = tqdm(total=100.0, desc=title, bar_format="{l_bar}{bar}| {elapsed}<{remaining}")

    def update(self, part: float) -> None:
        if self._bar is not None:
            self._bar.n = round(100 * part, 2)
            self._bar.refresh()


def draw_curve(name: str, points: list[tuple[int, float]]) -> NDArray[np.uint8]:
    """One panel (H, W, 3) with the curve's name, range and last value."""
    panel = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    if len(points) < 2:
        return panel
    xy = np.array(points, np.float64)
    low, high = xy.min(0), xy.max(0)
    unit = (xy - low) / np.maximum(high - low, 1e-12)
    place = np.stack(
        [MARGIN + unit[:, 0] * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN / 2 - unit[:, 1] * (HEIGHT - MARGIN)], 1
    )
    cv2.polylines(
        panel, [place.round().astype(np.int32)], isClosed=False, color=(160, 60, 20), lineType=cv2.LINE_AA
    )
    title = (
        f"{name}: {low[1]:.5g} to {high[1]:.5g}, last {xy[-1, 1]:.5g}; steps {low[0]:.0f} to {high[0]:.0f}"
    )
    cv2.putText(panel, title, (MARGIN, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return panel


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (optional)
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
