"""Frames of more than eight bits: uint16 in and out, by the same networks, beside streams of eight bits."""

import numpy as np
import pytest

from model_core.config import ModelConfig
from model_core.dis import DisFlow
from model_core.model import build
from service.errors import OutputInvalid
from tests.worker.engine.alongside import run_alongside
from tests.worker.engine.judge import Clip, assert_levels_close, make_picture_model, upscale_alone
from worker.engine.backends.base import Snapshot
from worker.engine.backends.openvino import OpenVinoBackend
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine
from worker.engine.reducing import enlarged_alpha, reduced

BACKENDS = [TorchBackend, OpenVinoBackend]
RUNS = [(backend, kind) for backend in BACKENDS for kind in ("dis", "memory")] + [(TorchBackend, "fnet")]
TEN_BITS = 65_535 / 1023  # a level of ten bits in those of sixteen


def assert_nearly_equal(found, expected) -> None:
    """Within a quarter of a level of ten bits: only the order of sums may differ."""
    assert {each.dtype for each in found} == {np.dtype(np.uint16)}
    assert np.abs(np.stack(found).astype(int) - expected).max() < TEN_BITS / 4


@pytest.mark.parametrize(("backend", "kind"), RUNS)
def test_deep_streams_beside_plain_ones_of_their_size_each_give_what_they_give_alone(backend, kind, request):
    """Guards against a batch of both kinds, whose samples would be read by one scale."""
    model = request.getfixturevalue(f"model_{kind}")
    clips = [
        Clip(seed, length=24, flow=model.config.flow, rounds=0.1, is_deep=seed % 2 == 1) for seed in range(4)
    ]
    with Engine(backend(model)) as engine:
        outputs = run_alongside(engine, clips, seed=4)
    for found, clip in zip(outputs, clips, strict=True):
        (assert_nearly_equal if clip.is_deep else assert_levels_close)(found, upscale_alone(model, clip))


@pytest.mark.parametrize(("backend", "kind"), RUNS)
def test_a_deep_stream_resumed_from_what_was_stored_equals_one_left_undisturbed(backend, kind, request):
    model = request.getfixturevalue(f"model_{kind}")
    clip = Clip(7, length=16, flow=model.config.flow, is_deep=True)
    clip.rounded[8] = True
    with Engine(backend(model)) as engine:
        [undisturbed] = run_alongside(engine, [clip], seed=5)
        [resumed] = run_alongside(engine, [clip], seed=5, cuts={0: 9})
    assert_nearly_equal(resumed, upscale_alone(model, clip))
    assert np.array_equal(np.stack(resumed), np.stack(undisturbed))


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_for_pictures_take_deep_frames_in_tiles_too(backend):
    model = make_picture_model("compact", blocks=1)
    clip = Clip(2, (60, 50), 2, flow="none", is_deep=True)
    with Engine(backend(model, tile_pixels_max=55 * 55)) as engine:
        [outputs] = run_alongside(engine, [clip], seed=6)
    assert_nearly_equal(outputs, upscale_alone(model, clip))


def test_a_ramp_of_ten_bits_is_enlarged_within_a_level_of_ten_bits():
    """Each level of 1024 is there, and each lies where it should: eight bits would have steps of four."""
    config = ModelConfig(generator="bicubic", flow="none")
    levels = np.tile(np.arange(1024), (8, 1))
    low = np.rint(np.dstack([levels] * 3) * TEN_BITS).astype(np.uint16)
    with Engine(TorchBackend(build(config))) as engine, engine.open(8, 1024, is_deep=True) as stream:
        stream.put(low)
        stream.end()
        high = stream.get()
    wanted = ((np.arange(4096) + 0.5) / 4 - 0.5).clip(0, 1023)
    assert np.abs(high[..., 1] / TEN_BITS - wanted).max() <= 1
    assert len(np.unique(np.rint(high[0, :, 1] / TEN_BITS))) == 1024


@pytest.mark.parametrize("is_deep", [False, True])
def test_frames_of_the_other_depth_break_their_own_stream(model_dis, is_deep):
    frame = np.zeros((16, 24, 3), np.uint8 if is_deep else np.uint16)
    with (
        Engine(TorchBackend(model_dis)) as engine,
        engine.open(16, 24, is_deep=is_deep) as stream,
        pytest.raises(OutputInvalid, match="came to a stream of"),
    ):
        stream.put(frame)


def test_a_state_of_the_other_depth_is_refused(model_dis):
    state = Snapshot(
        np.zeros((16, 24, 3), np.uint8), np.zeros((64, 96, 3), np.uint8), np.zeros((16, 24, 0), np.int8)
    )
    with Engine(TorchBackend(model_dis)) as engine, pytest.raises(OutputInvalid, match="uint16 is expected"):
        engine.open(16, 24, is_deep=True, state=state)


def test_motion_is_found_in_deep_frames_as_in_their_eight_bits():
    random = np.random.default_rng(3)
    scene = np.kron(random.integers(0, 256, (12, 14, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    before, after = scene[:, 2:50], scene[:, :48]
    plain = DisFlow("dis")(before, after)
    deep = DisFlow("dis")(*(each.astype(np.uint16) * 257 for each in (before, after)))
    assert np.abs(plain - deep).max() < 0.1
    assert np.abs(plain[0].mean()) > 1


@pytest.mark.parametrize("size", [(192, 144), (216, 162)])
def test_a_deep_ramp_keeps_its_bits_when_it_is_reduced(size):
    across = np.broadcast_to(np.linspace(10_000, 20_000, 384), (288, 384)).astype(np.uint16)
    small = reduced(np.dstack([across] * 3), size)
    wanted = 10_000 + ((np.arange(size[0]) + 0.5) * 384 / size[0] - 0.5) * 10_000 / 383
    assert small.dtype == np.uint16
    assert np.abs(small[:, 4:-4, 0] - wanted[4:-4]).max() < TEN_BITS / 8


def test_deep_transparency_is_enlarged_in_its_own_depth():
    alpha = np.full((8, 8), 65_535, np.uint16)
    assert set(np.unique(enlarged_alpha(alpha, (32, 32)))) == {65_535}
