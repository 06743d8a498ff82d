"""What a step does with a batch beyond the losses themselves."""

import pytest
import torch

from model_core.model import build
from model_core.recurrence import unroll
from tests.training.made import config_of
from training.config import ConfigError, PixelLossName
from training.data.batches import Batch
from training.losses.pixel import charbonnier
from training.run.step import find_losses

CONFIG = config_of(features=8, blocks=1, frames=2)


@pytest.mark.parametrize("pixel_loss", ["charbonnier", "log_square"])
def test_pixel_loss_counts_each_clip_by_its_factor(pixel_loss: PixelLossName) -> None:
    config = CONFIG.override({"pixel_loss": pixel_loss})
    torch.manual_seed(0)  # the model's random weights decide how far apart the two clips' losses are
    low, target = (torch.rand(2, 2, 3, side, side) for side in (8, 32))
    target[1] /= 8
    flow = torch.zeros(2, 1, 2, 8, 8)
    model = build(config.model)

    def pixel(clips: slice, *factors: float) -> float:
        batch = Batch(low[clips], target[clips], flow[clips], torch.tensor(factors))
        found, _ = find_losses(model, batch, config)
        return found["pixel"].item()

    first, second, both = pixel(slice(0, 1), 1), pixel(slice(1, 2), 1), slice(0, 2)
    assert first != pytest.approx(second, rel=0.01)
    assert pixel(both, 1, 1) == pytest.approx((first + second) / 2, rel=1e-5)
    assert pixel(both, 1, 4) == pytest.approx((first + 4 * second) / 2, rel=1e-5)
    unweighted, _ = find_losses(model, Batch(low, target, flow), config)
    assert unweighted["pixel"].item() == pytest.approx(pixel(both, 1, 1), rel=1e-6)


def test_frames_that_run_in_are_not_judged() -> None:
    config = CONFIG.override({"run_in": 3})
    low, target = torch.rand(2, 5, 3, 8, 8), torch.rand(2, 5, 3, 32, 32)
    flow = torch.zeros(2, 4, 2, 8, 8)
    model = build(config.model)
    found, _ = find_losses(model, Batch(low, target, flow), config)
    elsewhere = target.clone()
    elsewhere[:, :3] = 0
    same, _ = find_losses(model, Batch(low, elsewhere, flow), config)
    assert found["pixel"].item() == same["pixel"].item()
    late = unroll(model, low, flow)[:, 3:]
    assert found["pixel"].item() == pytest.approx(charbonnier(late, target[:, 3:]).item(), rel=1e-5)


def test_every_second_step_has_frames_that_run_in() -> None:
    data = CONFIG.override({"run_in": 3}).data
    assert [data.shape_of(step)[1] for step in range(4)] == [2, 5, 2, 5]
    with pytest.raises(ConfigError, match="run_in is 3"):
        CONFIG.override({"run_in": 3, "ping_pong_weight": 0.5})
