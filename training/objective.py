"""Objective: from a batch to its losses by name, and the one place where they are weighed."""

from torch import Tensor, nn

from model_core.model import Model
from model_core.recurrence import estimate_flow, unroll
from training.config import TrainingConfig
from training.losses import charbonnier, log_square, robust_end_point, warping


class Objective(nn.Module):
    """A module, so that DDP can wrap what is differentiated. Losses come unweighted."""

    def __init__(self, model: Model, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self._config = config

    def forward(self, low: Tensor, target: Tensor, flow: Tensor | None) -> dict[str, Tensor]:
        """low (N, T, 3, h, w), target (N, T, 3, H, W), flow (N, T-1, 2, h, w) from the data or None."""
        count, length, _, height, width = low.shape
        previous, current = low[:, :-1].flatten(0, 1), low[:, 1:].flatten(0, 1)
        if self._config.task == "flow":
            assert flow is not None, "flow is learned where it is known"
            estimated = estimate_flow(self.model, previous, current)
            return {"end_point": robust_end_point(estimated, flow.flatten(0, 1))}
        losses: dict[str, Tensor] = {}
        if self.model.flow_net is not None:
            estimated = estimate_flow(self.model, previous, current)
            losses["warp"] = warping(previous, current, estimated)
            flow = estimated.view(count, length - 1, 2, height, width)
        distance = charbonnier if self._config.pixel_loss == "charbonnier" else log_square
        return {"pixel": distance(unroll(self.model, low, flow), target), **losses}


def total(losses: dict[str, Tensor], config: TrainingConfig) -> Tensor:
    """The sum that is minimised."""
    weights = {"pixel": config.pixel_weight, "warp": config.warp_weight, "end_point": 1.0}
    parts = [weights[name] * value for name, value in losses.items()]
    return sum(parts[1:], start=parts[0])
