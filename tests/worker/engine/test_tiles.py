import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import ModelConfig
from model_core.model import build
from model_core.pixels import to_float, to_uint8
from tests.worker.engine.judge import make_model, make_picture_model
from worker.engine.backends.base import Turn
from worker.engine.backends.torch import TorchBackend
from worker.engine.tiles import HALO_MAX, KEPT_SIDE_MIN, generate_in_tiles, grid


@pytest.fixture(
    scope="module",
    params=["subpixel", "transposed", "memory", "corner", "bicubic", "srcnn", "srresnet", "rrdb", "compact"],
)
def model(request):
    if request.param == "bicubic":
        return build(ModelConfig(generator="bicubic", flow="none")).eval()
    if request.param in ("srcnn", "srresnet", "rrdb", "compact"):
        return make_picture_model(request.param, blocks=1)
    if request.param == "corner":
        return make_model("dis", upsampling="corner")
    if request.param == "memory":
        return make_model("dis-fast", window=3, hidden=4)
    return make_model("dis", head=request.param)


def inputs_for(model, height: int, width: int, count: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(height * 1000 + width)
    config = model.config
    channels = 3 * config.window + 48 + config.hidden if config.recurrent else 3
    return torch.rand(count, channels, height, width, generator=random)


@torch.inference_mode()
def test_a_frame_in_tiles_equals_the_frame_in_one_piece(model):
    inputs = inputs_for(model, 37, 61, count=2)
    tiled, hidden_tiled = generate_in_tiles(
        model.generate, inputs, halo=model.config.receptive_radius, tile_pixels_max=30 * 30
    )
    whole, hidden = model.generate(inputs)
    torch.testing.assert_close(hidden_tiled, hidden, atol=1e-5, rtol=0)
    difference = to_uint8(tiled).int() - to_uint8(whole).int()
    assert difference.abs().max() <= 1
    assert (difference != 0).float().mean() <= 0.001


@torch.inference_mode()
def test_a_halo_that_is_too_small_would_show(model):
    inputs = inputs_for(model, 37, 61)
    tiled, _ = generate_in_tiles(model.generate, inputs, halo=0, tile_pixels_max=30 * 30)
    assert (to_uint8(tiled).int() - to_uint8(model.generate(inputs)[0]).int()).abs().max() > 1


@torch.inference_mode()
def test_no_output_depends_on_input_beyond_the_halo(model):
    inputs, side, at = inputs_for(model, 40, 40), model.config.receptive_radius, 20
    changed = inputs.clone()
    changed[..., at, at] += 0.5
    moved = (model.generate(inputs)[0] != model.generate(changed)[0]).any(dim=(0, 1)).nonzero()
    assert moved.min() // 4 >= at - side
    assert moved.max() // 4 <= at + side


@torch.inference_mode()
def test_a_network_that_could_see_beyond_the_largest_halo_shows_no_seams():
    model = make_picture_model("rrdb", blocks=6)  # as deep as the smallest published one
    assert model.config.receptive_radius > HALO_MAX
    backend = TorchBackend(model, tile_pixels_max=168 * 168)
    frame = np.random.default_rng(1).integers(0, 256, (170, 200, 3), dtype=np.uint8)
    assert grid(170, 200, halo=HALO_MAX, tile_pixels_max=168 * 168) != (1, 1)
    [tiled] = backend.step([Turn(None, frame)])
    whole = to_uint8(model.generate(to_float(torch.from_numpy(frame[None])))[0])[0].numpy()
    difference = np.abs(tiled.output.astype(int) - whole)
    assert difference.max() <= 1
    assert (difference != 0).mean() <= 0.001


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 24), st.integers(1, 20_000))
def test_tiles_fit_the_budget_wherever_halos_leave_room(height, width, halo, budget):
    rows, columns = grid(height, width, halo=halo, tile_pixels_max=budget)
    kept_height, kept_width = math.ceil(height / rows), math.ceil(width / columns)
    pixels = min(height, kept_height + 2 * halo) * min(width, kept_width + 2 * halo)
    smallest = (2 * KEPT_SIDE_MIN + 2 * halo) ** 2
    assert pixels <= max(budget, smallest)
    assert kept_height >= min(height, KEPT_SIDE_MIN)
    assert kept_width >= min(width, KEPT_SIDE_MIN)


def test_a_frame_within_the_budget_is_one_call():
    calls = []
    inputs = torch.rand(2, 3, 8, 8)
    generate_in_tiles(lambda x: calls.append(x.shape) or (x, x), inputs, halo=3, tile_pixels_max=64)
    assert calls == [(2, 3, 8, 8)]
