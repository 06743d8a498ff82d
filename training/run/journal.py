"""What a run tells about itself, and how it checks itself, while the processes train.

`Watch` scores held-out clips and keeps the best weights; `Journal` writes log.jsonl, curves.png and, where it
is installed, TensorBoard. Curves are drawn with OpenCV, so a bare machine draws them too.
"""

import contextlib
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_core.model import build
from training.config import TrainingConfig
from training.data.sequences import VALIDATION_FRAMES, Sequence, validation_sequences
from training.data.sources import Library
from training.losses.perceptual import Lpips
from training.run.schedule import Schedule
from training.run.state import Learner, Progress
from training.run.validate import critic_right, lost_when_held, sheet_row, validate
from training.scores.report import crop_sheet
from training.weights.best import keep_if_best

NOTE_EVERY: Final = 50  # steps
SHOWN: Final = 6  # held-out clips on a sheet
VALIDATION_S: Final = 60.0  # what one takes, until one has been seen
LOG: Final = "log.jsonl"
WIDTH: Final = 900
HEIGHT: Final = 260
MARGIN: Final = 60
TIMES: Final = ("seconds", "step_s", "waited_s", "gpx", "core_hours")  # noted for reading, not for drawing


class Watch:
    """What the first process tells and checks, while all of them train."""

    def __init__(
        self,
        config: TrainingConfig,
        library: Library,
        out: Path,
        lpips: Lpips | None,
        progress: Progress,
        *,
        autocast: bool,
    ) -> None:
        self._config, self._autocast = config, autocast
        self._best = out / "best"
        self._sequences: list[Sequence] = []
        if config.task == "upscale":
            # Without memory one tells as much as many.
            frames = VALIDATION_FRAMES if config.model.recurrent else 1
            self._sequences = validation_sequences(library, config.data.protocol, frames=frames)
        self._lpips = lpips
        self._journal = Journal(out)
        self._bar = Bar(config.task)
        self._first = True
        self.validation_s = VALIDATION_S
        self._noted: dict[str, list[Tensor | float]] = {}
        self._last = progress.pixels, progress.seconds
        self._journal.note(0, event="run_started", autocast=autocast, config=config.to_json())

    def note(self, schedule: Schedule, facts: dict[str, Tensor | float]) -> None:
        """Write the means of what was noted since the last line; a single batch tells of its clips only."""
        self._bar.update(schedule.part())
        for name, value in facts.items():
            self._noted.setdefault(name, []).append(value)
        if self._first or schedule.step % NOTE_EVERY == 0:
            means = {name: sum(map(float, values)) / len(values) for name, values in self._noted.items()}
            self._journal.note(
                schedule.step, **means, **self._pace(schedule.progress), **_seen(schedule.progress)
            )
            self._noted.clear()
        self._first = False

    def _pace(self, progress: Progress) -> dict[str, float]:
        """Billions of low-resolution pixels an hour since the last line."""
        (pixels, seconds), self._last = self._last, (progress.pixels, progress.seconds)
        passed = progress.seconds - seconds
        return {"gpx_per_hour": 3.6e-6 * (progress.pixels - pixels) / passed} if passed > 0 else {}

    def validate(self, learner: Learner) -> None:
        """Write the averaged model's scores on the held-out clips into the journal, and a sheet of crops."""
        if not self._sequences:
            return
        began = time.monotonic()
        device = next(learner.model.parameters()).device
        model = build(self._config.model).to(device).eval()
        model.load_state_dict(learner.ema)
        critic = learner.critic
        judge = None if critic is None else partial(critic_right, critic, model, self._config)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._autocast):
            scores, outputs = validate(model, self._sequences, lpips=self._lpips, judge=judge)
            if self._config.model.recurrent:
                scores["lost_when_held"] = lost_when_held(model, self._sequences)
        keep_if_best(self._best, model, self._config, learner.progress, scores)
        step = learner.progress.step
        self._journal.note(step, **scores, **_seen(learner.progress))
        rows = [sheet_row(*pair) for pair in zip(self._sequences, outputs, strict=True)]
        self._journal.show(step, crop_sheet(rows[:SHOWN]))
        self.draw()
        self.validation_s = time.monotonic() - began

    def draw(self) -> None:
        self._journal.draw()


def _seen(progress: Progress) -> dict[str, float]:
    """How far a training is, in billions of low-resolution pixels and core-hours, which compare machines."""
    return {
        "seconds": progress.seconds,
        "gpx": progress.pixels / 1e9,
        "core_hours": progress.core_seconds / 3600,
    }


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
