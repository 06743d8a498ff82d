"""The one definition of the recurrence; serving, training and every engine backend run exactly this.

    flow_t  = F(x_t, x_{t-1})                      estimate_flow
    warped  = W(y_{t-1}, upsample4(flow_t) * 4)    step
    y_t     = G(x_t ++ space_to_depth4(warped))    step   (G adds bicubic4(x_t) itself)

Source: TecoGAN, Chu et al. 2020 (arXiv:1811.09393), eq. 1 and 2. In code x is `low` or `frame`, y is `high`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model_core.config import SCALE
from model_core.model import Model
from model_core.pixels import to_levels
from model_core.warping import space_to_depth, upsample_flow, warp


@dataclass(frozen=True, slots=True)
class State:
    """What one step hands to the next: the last input and the last output of N streams.

    frame   (N, 3, h, w) float RGB in [0, 1]
    output  (N, 3, 4h, 4w) float RGB in [0, 1], clamped so that a stream can't run away
    """

    frame: Tensor
    output: Tensor

    @classmethod
    def clean(cls, count: int, height: int, width: int, *, device: torch.device | str = "cpu") -> "State":
        """Where every stream begins: y_0 = 0. Goes with a zero flow."""
        return cls(
            torch.zeros(count, 3, height, width, device=device),
            torch.zeros(count, 3, height * SCALE, width * SCALE, device=device),
        )

    def rounded(self) -> "State":
        """The same state at whole levels, as if it had been stored as uint8 and read back."""
        return State(to_levels(self.frame) / 255, to_levels(self.output) / 255)


def estimate_flow(model: Model, previous: Tensor, frame: Tensor) -> Tensor:
    """(N, 3, h, w) twice -> flow_low (N, 2, h, w): where a pixel of `frame` was in `previous`.

    Low-resolution pixels, channel 0 is x. Only for models whose F is a network.
    """
    assert model.flow_net is not None, f"the flow of {model.config.flow!r} is estimated elsewhere"
    flow: Tensor = model.flow_net(previous, frame)
    return flow.float()


def generator_input(model: Model, state: State, frame: Tensor, flow_low: Tensor) -> Tensor:
    """What G sees: frame and warped last output, (N, 51, h, w); the frame alone without recurrence."""
    if not model.config.recurrent:
        return frame
    warped = warp(state.output, upsample_flow(flow_low, model.config.upsampling))  # (N, 3, 4h, 4w)
    return torch.cat((frame, space_to_depth(warped)), dim=1)


def step(
    model: Model,
    state: State,
    frame: Tensor,
    flow_low: Tensor,
    *,
    generate: Callable[[Tensor], Tensor] | None = None,
) -> tuple[State, Tensor]:
    """Advance N streams by one frame.

    frame      (N, 3, h, w) float RGB in [0, 1]
    flow_low   (N, 2, h, w) low-resolution pixels; zero for the first frame of a stream; ignored by
               single-image models
    generate   runs G in another way (tiles, another runtime); must equal model.generator
    Returns    the new state, and high (N, 3, 4h, 4w) float32, not clamped
    """
    high = (generate or model.generator)(generator_input(model, state, frame, flow_low)).float()
    return State(frame, high.clamp(0, 1)), high


def unroll(model: Model, frames: Tensor, flows: Tensor | None = None) -> Tensor:
    """Run whole clips from a clean state: (N, T, 3, h, w) -> (N, T, 3, 4h, 4w), not clamped.

    flows   (N, T-1, 2, h, w) where F is not a network; estimated in one batch otherwise
    """
    count, length, _, height, width = frames.shape
    if flows is None and model.config.recurrent:
        previous, current = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        flows = estimate_flow(model, previous, current).view(count, length - 1, 2, height, width)
    none = frames.new_zeros(count, 2, height, width)
    state = State.clean(count, height, width, device=frames.device)
    highs: list[Tensor] = []
    for t in range(length):
        state, high = step(model, state, frames[:, t], none if t == 0 or flows is None else flows[:, t - 1])
        highs.append(high)
    return torch.stack(highs, dim=1)
