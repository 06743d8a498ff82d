"""What a run watches beside its scores: that a recurrence adds nothing to itself where nothing moves."""

import numpy as np
import pytest
import torch

from model_core.config import ModelConfig
from model_core.dis import DisFlow
from model_core.model import build
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import State, step
from tests.training.made import panning
from training.data.sequences import Sequence, make_sequence
from training.run.validate import BORDER, HELD_PART, SKIPPED, lost_when_held
from training.scores.metrics import luma, psnr


@pytest.fixture
def moving() -> Sequence:
    return make_sequence("moving", panning(20, 96, 96, 0), "bd")


def test_a_picture_held_is_compared_with_itself_over_time(moving: Sequence) -> None:
    torch.manual_seed(0)
    model = build(
        ModelConfig(generator="frvsr", flow="dis-fast", features=8, blocks=1, window=3, hidden=8)
    ).eval()
    moving.flow(DisFlow("dis-fast"), 0, 1)  # of the clip that moves, which must not be taken
    low = to_float(torch.from_numpy(moving.low[:1]))
    truth = luma(torch.from_numpy(moving.target[0]))[BORDER:-BORDER, BORDER:-BORDER]
    state, still = State.clean(model.config, low), torch.zeros(1, 2, *low.shape[-2:])
    found = []
    for _ in range(len(moving.low)):
        with torch.no_grad():
            state, high = step(model, state, low, still, ahead=low)
        found.append(psnr(luma(to_uint8(high)[0])[BORDER:-BORDER, BORDER:-BORDER], truth))
    kept = np.array(found[SKIPPED:])
    lost = lost_when_held(model, [moving])
    assert lost == pytest.approx(kept[:HELD_PART].mean() - kept[-HELD_PART:].mean(), abs=1e-4)
    assert abs(lost) > 0.01


def test_what_remembers_nothing_loses_nothing(moving: Sequence) -> None:
    assert lost_when_held(build(ModelConfig(generator="bicubic", flow="none")), [moving]) == 0
