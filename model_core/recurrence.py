"""The one definition of the recurrence; serving, training and every engine backend run exactly this.

    flow_t   = F(x_t, x_{t-1})                                       estimate_flow
    warped   = W(y_{t-1}, upsample4(flow_t) * 4)                     generator_input
    y_t      = G(x_t ++ space_to_depth4(warped))                     step   (G adds bicubic4(x_t) itself)

or, for a model with a window of three frames and a hidden state,

    y_t, h_t = G(x_{t-1} ++ x_t ++ x_{t+1} ++ space_to_depth4(warped) ++ W(h_{t-1}, flow_t))

where a missing neighbour, at an end or a cut, is the frame itself.

Source: TecoGAN, Chu et al. 2020 (arXiv:1811.09393), eq. 1 and 2. In code x is `low` or `frame`, y is `high`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from model_core.config import SCALE, ModelConfig
from model_core.model import Model
from model_core.pixels import to_levels
from model_core.warping import space_to_depth, upsample_flow, warp

HIDDEN_LEVELS: Final = 127  # on either side of zero, so that a clean state is a level, and one fits an int8


@dataclass(frozen=True, slots=True)
class State:
    """What one step hands to the next: the last input, the last output and the hidden state of N streams.

    frame   (N, 3, h, w) float RGB in [0, 1]
    output  (N, 3, 4h, 4w) float RGB in [0, 1], clamped so that a stream can't run away
    hidden  (N, hidden, h, w) float in [-1, 1]; of no channels where the model has none
    """

    frame: Tensor
    output: Tensor
    hidden: Tensor

    @classmethod
    def clean(cls, config: ModelConfig, frame: Tensor) -> "State":
        """Where streams begin whose first frame is `frame` (N, 3, h, w): y_0 = 0, h_0 = 0, and nothing before
        but that frame itself. Goes with a zero flow."""
        count, _, height, width = frame.shape
        return cls(
            frame,
            frame.new_zeros(count, 3, height * SCALE, width * SCALE),
            frame.new_zeros(count, config.hidden, height, width),
        )

    def rounded(self, last: int = 255) -> "State":
        """The same state at whole levels, as if stored and read back; of pictures the level `last` is 1.0."""
        hidden = self.hidden.mul(HIDDEN_LEVELS).round() / HIDDEN_LEVELS
        return State(to_levels(self.frame, last) / last, to_levels(self.output, last) / last, hidden)


def estimate_flow(model: Model, previous: Tensor, frame: Tensor) -> Tensor:
    """(N, 3, h, w) twice -> flow_low (N, 2, h, w): where a pixel of `frame` was in `previous`.

    Low-resolution pixels, channel 0 is x. Only for models whose F is a network.
    """
    assert model.flow_net is not None, f"the flow of {model.config.flow!r} is estimated elsewhere"
    flow: Tensor = model.flow_net(previous, frame)
    return flow.float()


def generator_input(
    model: Model, state: State, frame: Tensor, flow_low: Tensor, ahead: Tensor | None = None
) -> Tensor:
    """What G sees, (N, 3 window + 48 + hidden, h, w); the frame alone without recurrence."""
    config = model.config
    if not config.recurrent:
        return frame
    seen = [state.frame, frame, frame if ahead is None else ahead] if config.looks_ahead else [frame]
    warped = warp(state.output, upsample_flow(flow_low, config.upsampling))  # (N, 3, 4h, 4w)
    seen.append(space_to_depth(warped))
    if config.hidden:
        seen.append(warp(state.hidden, flow_low))
    return torch.cat(seen, dim=1)


def step(
    model: Model,
    state: State,
    frame: Tensor,
    flow_low: Tensor,
    *,
    ahead: Tensor | None = None,
    generate: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
) -> tuple[State, Tensor]:
    """Advance N streams by one frame.

    frame      (N, 3, h, w) float RGB in [0, 1]
    flow_low   (N, 2, h, w) low-resolution pixels; zero for the first frame of a stream; ignored by
               single-image models
    ahead      the frame after it, for models that look ahead; None at a stream's end
    generate   runs G in another way (tiles, another runtime); must equal model.generate
    Returns    the new state, and high (N, 3, 4h, 4w) float32, not clamped
    """
    high, hidden = (generate or model.generate)(generator_input(model, state, frame, flow_low, ahead))
    high = high.float()
    return State(frame, high.clamp(0, 1), hidden.float()), high


def unroll(model: Model, frames: Tensor, flows: Tensor | None = None, *, run_in: int = 0) -> Tensor:
    """Run whole clips from a clean state: (N, T, 3, h, w) -> (N, T - run_in, 3, 4h, 4w), not clamped.

    flows    (N, T-1, 2, h, w) where F is not a network; estimated in one batch otherwise
    run_in   frames at the start that only fill the state: no gradient goes through them
    """
    count, length, _, height, width = frames.shape
    if flows is None and model.config.recurrent:
        previous, current = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        flows = estimate_flow(model, previous, current).view(count, length - 1, 2, height, width)
    none = frames.new_zeros(count, 2, height, width)
    state = State.clean(model.config, frames[:, 0])
    highs: list[Tensor] = []
    for t in range(length):
        flow = none if t == 0 or flows is None else flows[:, t - 1]
        ahead = frames[:, t + 1] if t + 1 < length else None
        with torch.set_grad_enabled(torch.is_grad_enabled() and t >= run_in):
            state, high = step(model, state, frames[:, t], flow, ahead=ahead)
        if t >= run_in:
            highs.append(high)
    return torch.stack(highs, dim=1)
