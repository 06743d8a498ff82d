"""`python -m training carry`: a training in the few megabytes that a repository holds, to go on elsewhere.

What is carried of a preset lies in CARRIED and is what a fresh `train` of that preset begins from. Momentum
is halved and averages are left behind (state.save_state); of the journal the scores come along.
"""

import json
import shutil
from pathlib import Path
from typing import Final

import torch

from training.config import TrainingConfig
from training.run.journal import LOG
from training.run.state import has_state, read_config, save_state
from training.run.train import begin

CARRIED: Final = Path(__file__).parent.parent / "carried"


def carry(training: Path, out: Path) -> int:
    """Write what is carried of the training in that folder; -> its size in bytes. Raises StateError."""
    config = read_config(training / "state")
    learner = begin(config, training / "state", None, torch.device("cpu"))
    save_state(out / "state", config, learner, light=True)
    lines = (training / LOG).read_text().splitlines()
    kept = [line for line in lines if {"psnr", "event"} & set(json.loads(line))]
    (out / LOG).write_text("".join(f"{line}\n" for line in kept))
    return sum(file.stat().st_size for file in out.rglob("*") if file.is_file())


def take_up(preset: str, config: TrainingConfig, out: Path, *, carried: Path = CARRIED) -> bool:
    """Begin in `out` with what is carried of the preset; whether there was anything, of that network, and no
    training yet."""
    state = carried / preset / "state"
    if has_state(out / "state") or not has_state(state):
        return False
    if read_config(state).model != config.model:
        return False
    shutil.copytree(carried / preset, out, dirs_exist_ok=True)
    return True
