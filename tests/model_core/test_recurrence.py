from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import ModelConfig
from model_core.model import Model, build
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import HIDDEN_LEVELS, State, estimate_flow, generator_input, step, unroll

FLOWS = ("fnet", "pyramid", "dis")


def small_model(flow: str, head: str = "subpixel") -> Model:
    torch.manual_seed(3)
    config = ModelConfig(generator="frvsr", flow=flow, features=8, blocks=2, head=head)  # type: ignore[arg-type]
    return build(config).eval().requires_grad_(False)


def model_with_memory() -> Model:
    """It sees three frames and hands a hidden state on."""
    torch.manual_seed(3)
    config = ModelConfig(generator="frvsr", flow="dis-fast", features=8, blocks=2, window=3, hidden=4)
    return build(config).eval().requires_grad_(False)


@pytest.mark.parametrize("head", ["subpixel", "transposed"])
@pytest.mark.parametrize("flow", ["fnet", "pyramid"])
@given(height=st.integers(1, 19), width=st.integers(1, 19))
@settings(max_examples=5, deadline=None)
def test_any_size_comes_back_four_times_larger(flow: str, head: str, height: int, width: int) -> None:
    high = unroll(small_model(flow, head), torch.rand(1, 2, 3, height, width))
    assert high.shape == (1, 2, 3, 4 * height, 4 * width)


@pytest.mark.parametrize(("flow", "right"), [("fnet", 6), ("pyramid", 2)])
def test_padding_inside_equals_padding_by_hand(flow: str, right: int) -> None:
    model, frames = small_model(flow), torch.rand(2, 3, 13, 18)
    padded = torch.nn.functional.pad(frames, (0, right, 0, 3), mode="replicate")
    by_hand = estimate_flow(model, padded[:1], padded[1:])[..., :13, :18]
    torch.testing.assert_close(estimate_flow(model, frames[:1], frames[1:]), by_hand)


def test_the_flow_of_fnet_is_bounded() -> None:
    model = small_model("fnet")
    assert model.flow_net is not None
    with torch.no_grad():
        for weight in model.flow_net.parameters():
            weight.mul_(50)
    flow = estimate_flow(model, torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16))
    assert 20 < flow.abs().max() <= 24


@pytest.mark.parametrize("flow", FLOWS)
def test_unroll_equals_steps_taken_one_by_one(flow: str) -> None:
    model, frames = small_model(flow), torch.rand(2, 4, 3, 10, 12)
    flows = torch.randn(2, 3, 2, 10, 12) if flow == "dis" else None
    highs = unroll(model, frames, flows)
    state = State.clean(model.config, frames[:, 0])
    for t in range(4):
        if t == 0:
            flow_low = torch.zeros(2, 2, 10, 12)
        elif flows is not None:
            flow_low = flows[:, t - 1]
        else:
            flow_low = estimate_flow(model, frames[:, t - 1], frames[:, t])
        state, high = step(model, state, frames[:, t], flow_low)
        torch.testing.assert_close(high, highs[:, t], atol=1e-5, rtol=0)


def test_an_output_depends_on_the_outputs_before_it() -> None:
    model, frame, zero = small_model("dis"), torch.rand(1, 3, 8, 8), torch.zeros(1, 2, 8, 8)
    clean = State.clean(model.config, frame)
    _, alone = step(model, clean, frame, zero)
    _, after = step(model, replace(clean, output=torch.rand(1, 3, 32, 32)), frame, zero)
    assert (alone - after).abs().max() > 1e-3


def test_a_model_with_a_window_and_a_memory_sees_both_neighbours_and_its_hidden_state() -> None:
    model, zero = model_with_memory(), torch.zeros(1, 2, 8, 8)
    before, frame, ahead = (torch.rand(1, 3, 8, 8) for _ in range(3))
    state = State(before, torch.rand(1, 3, 32, 32), torch.rand(1, 4, 8, 8))
    after, high = step(model, state, frame, zero, ahead=ahead)
    assert after.hidden.abs().max() <= 1
    for changed, following in (
        (replace(state, frame=frame), ahead),
        (replace(state, hidden=0 * state.hidden), ahead),
        (state, frame),
    ):
        assert (step(model, changed, frame, zero, ahead=following)[1] - high).abs().max() > 1e-3


def test_missing_neighbours_are_the_frame_itself() -> None:
    model, frames = model_with_memory(), torch.rand(1, 3, 3, 8, 8)
    flows = torch.zeros(1, 2, 2, 8, 8)
    highs = unroll(model, frames, flows)
    clean = State.clean(model.config, frames[:, 0])
    assert torch.equal(clean.frame, frames[:, 0])
    state, first = step(model, clean, frames[:, 0], flows[:, 0], ahead=frames[:, 1])
    state, _ = step(model, state, frames[:, 1], flows[:, 0], ahead=frames[:, 2])
    _, last = step(model, state, frames[:, 2], flows[:, 0], ahead=frames[:, 2])
    torch.testing.assert_close(first, highs[:, 0])
    torch.testing.assert_close(last, highs[:, 2])


def test_frames_that_run_in_fill_the_state_and_teach_nothing() -> None:
    model, frames = model_with_memory(), torch.rand(1, 5, 3, 8, 8).requires_grad_()
    flows = torch.rand(1, 4, 2, 8, 8)
    late = unroll(model, frames, flows, run_in=2)
    torch.testing.assert_close(late, unroll(model, frames, flows)[:, 2:])
    late.sum().backward()
    assert frames.grad is not None
    assert frames.grad[:, 2:].flatten(2).any(2).all()
    assert not frames.grad[:, 0].any()
    assert not torch.equal(late[:, 0], unroll(model, frames[:, 2:], flows[:, 2:])[:, 0])


def test_the_hidden_state_moves_along_the_flow() -> None:
    """By low-resolution pixels: an edge in it that moves by one lands in the next column."""
    model, frame = model_with_memory(), torch.rand(1, 3, 8, 8)
    state = State.clean(model.config, frame)
    hidden = torch.zeros(1, 4, 8, 8)
    hidden[..., 3] = 1
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = -1
    seen = generator_input(model, replace(state, hidden=hidden), frame, flow)[:, -4:]
    assert torch.equal(seen[..., 4], torch.ones(1, 4, 8))
    torch.testing.assert_close(seen.sum(), torch.tensor(32.0))


def test_the_state_stays_between_zero_and_one() -> None:
    model = small_model("dis")
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(9)
    frame = torch.rand(1, 3, 8, 8)
    state, high = step(model, State.clean(model.config, frame), frame, torch.zeros(1, 2, 8, 8))
    assert high.max() > 1
    assert 0 <= state.output.min() <= state.output.max() <= 1


def test_a_rounded_state_equals_one_stored_as_bytes_and_read_back() -> None:
    state = State(
        torch.rand(2, 3, 4, 4), torch.rand(2, 3, 16, 16) * 1.2 - 0.1, 2 * torch.rand(2, 5, 4, 4) - 1
    )
    rounded = state.rounded()
    assert torch.equal(rounded.frame, to_float(to_uint8(state.frame)))
    assert torch.equal(rounded.output, to_float(to_uint8(state.output)))
    stored = (state.hidden * HIDDEN_LEVELS).round().to(torch.int8)
    assert torch.equal(rounded.hidden, stored.float() / HIDDEN_LEVELS)
    assert 0 < (rounded.hidden - state.hidden).abs().max() <= 0.5 / HIDDEN_LEVELS + 1e-6


def test_a_model_without_recurrence_ignores_state_and_flow() -> None:
    model = build(ModelConfig(generator="bicubic", flow="none"))
    frame = torch.rand(1, 3, 5, 7)
    state = State.clean(model.config, frame)
    _, clean = step(model, state, frame, torch.zeros(1, 2, 5, 7))
    _, other = step(model, replace(state, output=torch.rand(1, 3, 20, 28)), frame, torch.ones(1, 2, 5, 7))
    assert torch.equal(clean, other)


@pytest.mark.parametrize("head", ["subpixel", "transposed"])
def test_nothing_beyond_the_receptive_radius_matters(head: str) -> None:
    """The engine's tiles take this radius as their halo."""
    model = small_model("dis", head)
    inputs, far = torch.rand(1, 51, 3, 31), 15
    changed = inputs.clone()
    changed[..., far] += 1
    reach = (model.generate(inputs)[0] != model.generate(changed)[0]).any(dim=1).any(dim=1)[0].nonzero()
    first, last = int(reach.min()) // 4, int(reach.max()) // 4
    assert max(far - first, last - far) <= model.config.receptive_radius
