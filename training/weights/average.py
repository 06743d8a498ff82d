"""`python -m training average`: one set of weights between several states of a training, or checkpoints.

Between where a perceptual training was and where it is lie weights that keep most of the detail of one and
most of the truth of the other. Source: network interpolation, Wang et al. 2018, ESRGAN (arXiv:1809.00219),
section 3.4, along one training instead of across two.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from model_core import checkpoint
from model_core.model import build
from training.weights.card import TRAINING_KEYS
from training.weights.reading import read_weights


class AverageError(ValueError):
    """The shares or the models don't go together."""


def parse_share(text: str) -> tuple[Path, float]:
    """`FOLDER=0.2` -> folder and share."""
    folder, _, share = text.rpartition("=")
    try:
        return Path(folder), float(share)
    except ValueError as error:
        raise AverageError(f"{text!r}: FOLDER=SHARE is expected, for example runs/teco/state=0.2") from error


def average(states: Sequence[tuple[Path, float]], out: Path) -> str:
    """Write a checkpoint of the weights in those folders (reading.py), mixed by their shares; -> version.

    The card tells of the training with most steps, and of all that went in.
    """
    if not math.isclose(sum(share for _, share in states), 1.0, abs_tol=1e-6):
        raise AverageError(f"shares are {[share for _, share in states]}: their sum must be 1")
    parts = [(*read_weights(folder), share) for folder, share in states]
    configs = {model.config for model, _, _ in parts}
    if len(configs) != 1:
        raise AverageError(f"these are {len(configs)} different models")
    mixed = build(configs.pop()).eval()
    weights = [(model.state_dict(), share) for model, _, share in parts]
    mixed.load_state_dict(
        {name: sum(share * each[name] for each, share in weights) for name in weights[0][0]}
    )
    cards = [{key: card[key] for key in TRAINING_KEYS if key in card} for _, card, _ in parts]
    averaged = [
        {"step": card.get("steps", 0), "share": share} for card, (_, share) in zip(cards, states, strict=True)
    ]
    last = max(cards, key=lambda card: card.get("steps", 0))
    return checkpoint.save(out, mixed, last | {"averaged": averaged})
