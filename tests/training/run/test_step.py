"""What a step does with a batch beyond the losses themselves."""

import pytest
import torch

from model_core.model import build
from tests.training.made import config_of
from training.config import PixelLossName
from training.data.batches import Batch
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
