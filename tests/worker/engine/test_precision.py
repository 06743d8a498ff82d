import time

import numpy as np
import pytest
import torch

from model_core.config import ModelConfig
from model_core.model import build
from model_core.warping import warp
from tests.worker.engine.judge import make_model, make_picture_model
from worker.engine.backends import precision
from worker.engine.backends.torch import TorchBackend


@pytest.fixture(autouse=True)
def short_trial(monkeypatch):
    monkeypatch.setattr(precision, "TRIAL_FRAMES", 3)
    monkeypatch.setattr(precision, "TRIAL_SHAPE", (16, 24))


def slowed(slow: str):
    """Real backends, one of them made slow enough to leave no doubt."""

    class Slowed(TorchBackend):
        def step(self, *args):
            until = time.thread_time() + (0.05 if self.precision == slow else 0)
            while time.thread_time() < until:
                pass
            return super().step(*args)

    return lambda chosen: Slowed(make_model("dis"), precision=chosen)


def test_the_wide_format_is_kept_where_the_narrow_one_is_no_faster():
    choice = precision.choose(slowed("bfloat16"), "cpu", {})
    assert choice.precision == "float32"
    assert choice.reason.startswith("bfloat16 is 0.")


def test_a_faster_format_is_chosen_when_its_card_says_the_loss_is_small():
    choice = precision.choose(slowed("float32"), "cpu", {"precision_loss_db": {"bfloat16": 0.01}})
    assert choice.precision == "bfloat16"
    assert "measured at publishing" in choice.reason


def test_a_faster_format_is_left_when_its_card_says_the_loss_is_large():
    choice = precision.choose(slowed("float32"), "cpu", {"precision_loss_db": {"bfloat16": 0.06}})
    assert choice.precision == "float32"


def test_a_model_without_a_measured_loss_is_tried(monkeypatch):
    monkeypatch.setattr(precision, "loss_bound_db", lambda wide, narrowed: 0.049)
    assert precision.choose(slowed("float32"), "cpu", {}).precision == "bfloat16"
    monkeypatch.setattr(precision, "loss_bound_db", lambda wide, narrowed: 0.051)
    assert precision.choose(slowed("float32"), "cpu", {}).precision == "float32"


def test_without_a_network_there_is_nothing_to_choose():
    model = build(ModelConfig(generator="bicubic", flow="none"))
    assert (
        precision.choose(lambda chosen: TorchBackend(model, precision=chosen), "cpu", {}).precision
        == "float32"
    )


def test_a_network_without_memory_is_tried_on_one_frame():
    model, steps = make_picture_model("rrdb", blocks=1), []

    class Counted(TorchBackend):
        def step(self, *args):
            steps.append(self.precision)
            return super().step(*args)

    precision.choose(lambda chosen: Counted(model, precision=chosen), "cpu", {})
    assert steps.count("float32") == steps.count("bfloat16") == 3  # once to warm up, twice timed


def test_the_bound_of_the_loss_follows_the_difference():
    wide = np.full((8, 8, 3), 100, np.uint8)
    assert precision.loss_bound_db(wide, wide) == 0
    # A difference of one level everywhere beside an error of 30 dB, which is 8.06 levels.
    assert precision.loss_bound_db(wide, wide + 1) == pytest.approx(10 * np.log10(1 + 1 / (255**2 / 1000)))


def test_the_trial_picture_moves_as_its_flow_says():
    frames, flow = precision.moving_picture((16, 24), 4)
    low = [torch.from_numpy(frame).permute(2, 0, 1)[None].float() for frame in frames]
    moved = warp(low[2], torch.from_numpy(flow)[None])
    assert torch.allclose(moved[..., 1:], low[3][..., 1:], atol=0.01)
