"""What a checkpoint's card tells of the training behind it, and by which score such a model is judged."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from training.config import TrainingConfig
from training.run.state import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a model is judged by: `sign` 1 where more is better; `slack` is what rounding may move."""

    metric: str
    sign: int
    slack: float
    form: str


FAITHFUL: Final = Aim(metric="psnr", sign=1, slack=0.005, form="{:.2f} dB")
PERCEPTUAL: Final = Aim(metric="lpips", sign=-1, slack=0.0005, form="LPIPS {:.3f}")

TRAINING_KEYS: Final = (
    "steps",
    "hours",
    "commit",
    "training",
    "protocol",
)  # scores and names are not among them


def training_card(config: TrainingConfig, progress: Progress) -> dict[str, Any]:
    return {
        "steps": progress.step,
        "hours": round(progress.seconds / 3600, 2),
        "commit": commit(),
        "training": json.loads(config.to_json()),
        "protocol": config.data.protocol,
    }


def aim_of(card: Mapping[str, Any]) -> Aim:
    return PERCEPTUAL if card.get("training", {}).get("vgg_weight") else FAITHFUL


def commit() -> str:
    """Of the source tree this runs from, or "unknown" where it is none."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
