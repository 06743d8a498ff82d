"""Known answer: what a model makes of a picture everyone can draw, as samples that its card carries.

The version proves that the weights arrived; this proves that the code still gives them the meaning they were
trained with (channel orders, half pixels, flows). Written at publishing, checked before a model serves.
"""

import torch
from torch import Tensor

from model_core.checkpoint import CheckpointError
from model_core.config import SCALE
from model_core.model import Model
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import unroll

CARD_KEY = "known_answer"

_FRAMES, _HEIGHT, _WIDTH = 3, 12, 16
_SAMPLE_EVERY = 61  # a prime, so that samples meet every place of a 4x4 block and every colour
_LEVELS_MAX = 1


def answer(model: Model) -> list[int]:
    """Levels of every 61st sample of the last frame; raises CheckpointError if the model gives no picture."""
    try:
        with torch.inference_mode():
            frames, flows = _question()
            high = unroll(model, frames, flows if model.config.flow_comes_along else None)[0, -1:]
    except RuntimeError as error:
        raise CheckpointError(f"the model fails on a test picture: {error}") from error
    if high.shape != (1, 3, _HEIGHT * SCALE, _WIDTH * SCALE):
        raise CheckpointError(f"the model makes {tuple(high.shape)} of a {_HEIGHT}x{_WIDTH} picture")
    if not high.isfinite().all():
        raise CheckpointError("the model's output is not finite")
    return [int(level) for level in to_uint8(high).flatten()[::_SAMPLE_EVERY]]


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


def _question() -> tuple[Tensor, Tensor]:
    """frames (1, T, 3, h, w) and flows (1, T-1, 2, h, w) of a pattern that moves one pixel a frame."""
    y = torch.arange(_HEIGHT).view(1, -1, 1, 1)
    x = torch.arange(_WIDTH).view(1, 1, -1, 1) - torch.arange(_FRAMES).view(-1, 1, 1, 1)
    colour = torch.arange(3)
    levels = 128 + ((y * 7 + x * 13 + (x * y) % 11 * 5 + colour * 29) % 192 - 96)
    flows = torch.zeros(1, _FRAMES - 1, 2, _HEIGHT, _WIDTH)
    flows[:, :, 0] = -1
    return to_float(levels.to(torch.uint8))[None], flows
