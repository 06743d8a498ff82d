"""Watch: scores on held-out clips, the journal and the bar, while the processes train."""

import time
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from model_core.model import build
from training.config import TrainingConfig
from training.data.sequences import VALIDATION_FRAMES, Sequence, validation_sequences
from training.data.sources import Library
from training.losses.lpips import Lpips, has_lpips
from training.run.journal import Bar, Journal
from training.run.schedule import Schedule
from training.run.state import Learner, Progress
from training.run.validate import critic_right, sheet_row, validate
from training.scores.report import crop_sheet
from training.weights.best import keep_if_best

NOTE_EVERY: Final = 50  # steps
SHOWN: Final = 6  # held-out clips on a sheet
VALIDATION_S: Final = 60.0  # what one takes, until one has been seen


class Watch:
    """What the first process tells and checks, while all of them train."""

    def __init__(
        self,
        config: TrainingConfig,
        library: Library,
        out: Path,
        perceptual: Path | None,
        progress: Progress,
        *,
        autocast: bool,
    ) -> None:
        self._config, self._autocast = config, autocast
        self._best = out / "best"
        self._sequences: list[Sequence] = []
        if config.task == "upscale":
            frames = VALIDATION_FRAMES if config.recurrent else 1  # without memory one tells as much as many
            self._sequences = validation_sequences(library, config.protocol, frames=frames)
        self._lpips = Lpips(perceptual) if perceptual is not None and has_lpips(perceptual) else None
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
        model = build(self._config.model_config()).to(device).eval()
        model.load_state_dict(learner.ema)
        critic = learner.critic
        judge = None if critic is None else partial(critic_right, critic, model, self._config)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._autocast):
            scores, outputs = validate(model, self._sequences, lpips=self._lpips, judge=judge)
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
