"""`python -m training average`: one set of weights between several states of a training.

Between where a perceptual training was and where it is lie weights that keep most of the detail of one and
most of the truth of the other. Source: network interpolation, Wang et al. 2018, ESRGAN (arXiv:1809.00219),
section 3.4, along one training instead of across two.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from model_core import checkpoint
from model_core.model import build
from training.publish import commit
from training.state import load_ema, read_config, read_progress


class AverageError(ValueError):
    """The shares or the states don't go together."""


def parse_share(text: str) -> tuple[Path, float]:
    """`FOLDER=0.2` -> folder and share."""
    folder, _, share = text.rpartition("=")
    try:
        return Path(folder), float(share)
    except ValueError as error:
        raise AverageError(f"{text!r}: FOLDER=SHARE is expected, for example runs/teco/state=0.2") from error


def average(states: Sequence[tuple[Path, float]], out: Path) -> str:
    """Write a checkpoint of the averaged weights of state folders, mixed by their shares; -> version.

    The card tells of the state with most steps, and of all that went in.
    """
    if not math.isclose(sum(share for _, share in states), 1.0, abs_tol=1e-6):
        raise AverageError(f"shares are {[share for _, share in states]}: their sum must be 1")
    configs = {read_config(folder).model_config() for folder, _ in states}
    if len(configs) != 1:
        raise AverageError(f"the states are of {len(configs)} different models")
    mixed = [(load_ema(folder), share) for folder, share in states]
    model = build(configs.pop()).eval()
    model.load_state_dict(
        {name: sum(share * weights[name] for weights, share in mixed) for name in mixed[0][0]}
    )
    progress = [read_progress(folder) for folder, _ in states]
    last = max(range(len(states)), key=lambda index: progress[index].step)
    config = read_config(states[last][0])
    card = {
        "steps": progress[last].step,
        "hours": round(progress[last].seconds / 3600, 2),
        "commit": commit(),
        "training": json.loads(config.to_json()),
        "protocol": config.protocol,
        "averaged": [
            {"step": one.step, "share": share} for one, (_, share) in zip(progress, states, strict=True)
        ],
    }
    return checkpoint.save(out, model, card)
