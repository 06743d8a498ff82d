"""Best: the weights that did best on the held-out clips so far, kept because perceptual trainings wander off.

A checkpoint like any other: evaluate, compare, average, publish and --init take it. What is best: card.py.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from model_core import checkpoint
from model_core.model import Model
from training.config import TrainingConfig
from training.run.state import Progress
from training.weights.card import aim_of, training_card


def keep_if_best(
    folder: Path, model: Model, config: TrainingConfig, progress: Progress, scores: Mapping[str, float]
) -> bool:
    """Write the model there unless what lies there did better; without the score that counts, don't."""
    card = training_card(config, progress) | {"held_out": dict(scores)}
    aim = aim_of(card)
    if aim.metric not in scores:
        return False
    try:
        before = json.loads((folder / "card.json").read_text())["held_out"][aim.metric]
    except FileNotFoundError:
        before = None
    if before is not None and aim.sign * (scores[aim.metric] - before) <= 0:
        return False
    checkpoint.save(folder, model, card)
    return True
