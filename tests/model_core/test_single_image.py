import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import GeneratorName, ModelConfig
from model_core.model import Model, build
from model_core.recurrence import State, step, unroll
from model_core.warping import bicubic4

GENERATORS = ("srcnn", "srresnet", "rrdb", "compact")


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread() -> None:
    torch.set_num_threads(1)


def small_model(generator: GeneratorName, blocks: int = 1) -> Model:
    torch.manual_seed(5)
    config = ModelConfig(generator=generator, flow="none", features=6, blocks=blocks, growth=3)
    return build(config).eval().requires_grad_(False)


@pytest.mark.parametrize("generator", GENERATORS)
@given(height=st.integers(1, 9), width=st.integers(1, 9))
@settings(max_examples=5, deadline=None)
def test_any_size_comes_back_four_times_larger(generator: GeneratorName, height: int, width: int) -> None:
    high = unroll(small_model(generator), torch.rand(1, 2, 3, height, width))
    assert high.shape == (1, 2, 3, 4 * height, 4 * width)


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_picture_does_not_depend_on_the_one_before_it(generator: GeneratorName) -> None:
    model, frame = small_model(generator), torch.rand(1, 3, 5, 7)
    _, clean = step(model, State.clean(model.config, frame), frame, torch.zeros(1, 2, 5, 7))
    _, other = step(
        model, State(frame, torch.rand(1, 3, 20, 28), frame[:, :0]), frame, torch.ones(1, 2, 5, 7)
    )
    assert torch.equal(clean, other)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("generator", GENERATORS)
def test_what_matters_ends_at_the_receptive_radius(generator: GeneratorName, blocks: int) -> None:
    """No further, because tiles take it as their halo; nor earlier, because a halo costs work."""
    model = small_model(generator, blocks)
    for weight in model.parameters():
        weight.abs_()  # nothing cancels, no activation is shut
    radius = model.config.receptive_radius
    inputs, at = torch.rand(1, 3, 3, 2 * radius + 9, requires_grad=True), radius + 4
    # By gradients: far away a difference of outputs would be rounded away.
    model.generator(inputs)[..., 4 * at : 4 * at + 4].sum().backward()
    assert inputs.grad is not None
    seen = inputs.grad.any(dim=1).any(dim=1)[0].nonzero()
    assert (at - int(seen.min()), int(seen.max()) - at) == (radius, radius)


@pytest.mark.parametrize("generator", GENERATORS)
def test_gradients_reach_every_weight(generator: GeneratorName) -> None:
    model = small_model(generator).requires_grad_(True)
    model.generator(torch.rand(1, 3, 6, 6)).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


@torch.no_grad()
def test_srcnn_that_passes_its_input_on_is_bicubic() -> None:
    """So it enlarges first and shifts nothing; borders repeat, or the picture would have a frame drawn on."""
    model = small_model("srcnn")
    for weight in model.parameters():
        weight.zero_()
    for name, centre in (("extract", 4), ("map", 2), ("reconstruct", 2)):
        weight = model.generator.get_parameter(f"{name}.weight")
        for channel in range(3):
            weight[channel, channel, centre, centre] = 1
    low = 0.2 + 0.5 * torch.rand(1, 3, 6, 7)  # bicubic overshoots, and ReLU passes nothing below zero
    torch.testing.assert_close(model.generator(low), bicubic4(low))
    model.generator.get_parameter("extract.weight")[0, 0] = 1 / 81
    flat = torch.full((1, 3, 3, 3), 0.5)
    torch.testing.assert_close(model.generator(flat), bicubic4(flat))
