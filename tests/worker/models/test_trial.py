import numpy as np
import pytest
import torch

from model_core.warping import warp
from tests.worker.engine.judge import make_model, make_picture_model
from worker.models.trial import bfloat16_loss_db, loss_bound_db, moving_picture


def test_the_loss_of_a_network_is_something_and_not_much():
    assert 0 < bfloat16_loss_db(make_picture_model("rrdb", blocks=1)) < 0.5


def test_a_network_that_hands_its_errors_on_loses_more():
    """Random weights scaled so that each output is half of the last one; over six frames."""
    assert bfloat16_loss_db(make_model("fnet")) > 0.5


def test_the_bound_of_the_loss_follows_the_difference():
    wide = np.full((8, 8, 3), 100, np.uint8)
    assert loss_bound_db(wide, wide) == 0
    # A difference of one level everywhere beside an error of 30 dB, which is 8.06 levels.
    assert loss_bound_db(wide, wide + 1) == pytest.approx(10 * np.log10(1 + 1 / (255**2 / 1000)))


def test_the_trial_picture_moves_as_its_flow_says():
    frames, flows = moving_picture((16, 24), 4)
    low = frames.permute(0, 3, 1, 2).float()
    moved = warp(low[2:3], flows[2:3])
    assert torch.allclose(moved[..., 1:], low[3:, ..., 1:], atol=0.01)
