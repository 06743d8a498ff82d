"""Weights of this package's own making, wherever they lie: in a training's state, or in a checkpoint."""

from pathlib import Path
from typing import Any

from model_core import checkpoint
from model_core.model import Model, build
from training.run.state import has_state, load_ema, read_config, read_progress
from training.weights.card import training_card


def read_weights(folder: Path) -> tuple[Model, dict[str, Any]]:
    """The model, in evaluation mode, and its card, which of a training tells no scores yet.

    folder   a checkpoint's, a training's (then its averaged weights), or that of its state
    Raises   CheckpointError, StateError
    """
    state = folder / "state" if has_state(folder / "state") else folder
    if not has_state(state):
        found = checkpoint.load(folder)
        return found.model, dict(found.card)
    config = read_config(state)
    model = build(config.model)
    model.load_state_dict(load_ema(state))
    return model.eval(), training_card(config, read_progress(state))
