"""Known answer: what a model makes of a picture everyone can draw, as samples that its card carries.

The version proves that the weights arrived; this proves that the code still gives them the meaning they were
trained with (channel orders, half pixels, flows). Written at publishing, checked before a model serves.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from model_core.checkpoint import CheckpointError
from model_core.config import SCALE
from model_core.model import Model
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import unroll

CARD_KEY = "known_answer"

_FRAMES, _HEIGHT, _WIDTH = 3, 12, 16
_SAMPLE_EVERY = 61  # a prime, so that samples meet every place of a 4x4 block and every colour
_LEVELS_MAX = 1


def question() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """frames (T, h, w, 3) and flows (T-1, 2, h, w) of a pattern that moves one pixel a frame."""
    y = np.arange(_HEIGHT).reshape(1, -1, 1, 1)
    x = np.arange(_WIDTH).reshape(1, 1, -1, 1) - np.arange(_FRAMES).reshape(-1, 1, 1, 1)
    levels = 128 + ((y * 7 + x * 13 + (x * y) % 11 * 5 + np.arange(3) * 29) % 192 - 96)
    flows = np.zeros((_FRAMES - 1, 2, _HEIGHT, _WIDTH), np.float32)
    flows[:, 0] = -1
    return levels.astype(np.uint8), flows


def picture(model: Model) -> NDArray[np.uint8]:
    """The last frame (H, W, 3) of the answer; raises CheckpointError if the model gives no picture."""
    frames, flows = (torch.from_numpy(array) for array in question())
    try:
        with torch.inference_mode():
            known = flows[None] if model.config.flow_comes_along else None
            high = unroll(model, to_float(frames)[None], known)[0, -1:]
    except RuntimeError as error:
        raise CheckpointError(f"the model fails on a test picture: {error}") from error
    if high.shape != (1, 3, _HEIGHT * SCALE, _WIDTH * SCALE):
        raise CheckpointError(f"the model makes {tuple(high.shape)} of a {_HEIGHT}x{_WIDTH} picture")
    if not high.isfinite().all():
        raise CheckpointError("the model's output is not finite")
    return np.asarray(to_uint8(high)[0].numpy(), np.uint8)


def answer(model: Model) -> list[int]:
    """Levels of every 61st sample of the last frame; raises CheckpointError as `picture` does."""
    return [int(level) for level in picture(model).flatten()[::_SAMPLE_EVERY]]


def check(model: Model, card: dict[str, object]) -> None:
    """Raises CheckpointError unless the model gives finite pictures and, if its card has one, its answer."""
    found, expected = answer(model), card.get(CARD_KEY)
    if expected is None:
        return
    if not isinstance(expected, list) or len(expected) != len(found):
        raise CheckpointError(f"the card's {CARD_KEY} is not a list of {len(found)} levels")
    apart = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    if apart > _LEVELS_MAX:
        raise CheckpointError(f"the model's answer is {apart} levels from the one in its card")
