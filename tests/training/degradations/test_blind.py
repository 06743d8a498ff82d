"""Rows under the blind degradation: in place, the same for the same seed, with motion that is theirs."""

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.dis import DisFlow
from tests.training.made import config_of, panning, textured
from training.config import ProtocolName
from training.data.sampler import Sampler
from training.data.sequences import forth_and_back, validation_sequences
from training.data.sources import Library, load_library
from training.degradations.blind import MARGIN, degrade_crop, motion
from training.degradations.bsrgan import draw_steps
from training.degradations.kernels import Decimate, Pick
from training.degradations.noise import BY_CHANNEL, GaussianNoise

SHAPE = (2, 3, 16)
CONFIG = config_of(photo_share=0.5, protocol="bsrgan")


@pytest.mark.parametrize("place", [(0, 0), (3, 20), (8, 24), (9, 30)])
def test_crop_lies_where_it_was_asked_for(place: tuple[int, int]) -> None:
    """Guards against a margin that ends at the frame's border and is cut away as if it did not."""
    frames = list(panning(2, 100, 184, 0))
    y, x = place
    flat = [np.zeros_like(frame) for frame in frames]
    for frame in flat:
        frame[4 * y : 4 * (y + 16), 4 * x : 4 * (x + 16)] = 200
    draw = partial(draw_steps, codec=False)
    low, inner, _ = degrade_crop(draw, np.random.default_rng(1), flat, place, 16)
    cut = low[:, *inner].astype(float)
    assert cut.shape == (2, 16, 16, 3)
    assert low.shape[1] == min(25, y + 16 + MARGIN) - max(0, y - MARGIN)
    outside = (low.sum() - cut.sum()) / (low.size - cut.size)
    assert cut[:, 4:-4, 4:-4].mean() > 150
    assert outside < 100


def test_motion_is_estimated_between_the_degraded_frames() -> None:
    low = panning(3, 40, 48, 0)
    inner = slice(8, 32), slice(10, 34)
    pairs = list(pairwise(forth_and_back([0, 1, 2])))
    found = motion(DisFlow("dis"), low, pairs, inner)
    assert found.shape == (4, 2, 24, 24)
    assert found[:2, 0].mean() == pytest.approx(2, abs=0.3)  # the texture moves left, so it was further right
    assert found[2:, 0].mean() == pytest.approx(-2, abs=0.3)
    assert np.array_equal(found[0], DisFlow("dis")(low[0], low[1])[:, *inner])


@pytest.mark.parametrize("protocol", ["bsrgan", "upload"])
def test_blind_batch_is_a_function_of_seed_and_step(material: Path, protocol: ProtocolName) -> None:
    library = load_library(material)
    config = CONFIG.override({"protocol": protocol})
    sampler = Sampler(library, config)
    sampler.batch(0, SHAPE)  # what was drawn before must not matter
    one, two, other = (
        sampler.batch(7, SHAPE),
        Sampler(library, config).batch(7, SHAPE),
        sampler.batch(8, SHAPE),
    )
    assert torch.equal(one.low, two.low)
    assert one.flow is not None
    assert two.flow is not None
    assert torch.equal(one.flow, two.flow)
    assert not torch.equal(one.low, other.low)


def test_blind_batch_shows_the_targets_of_the_known_one_with_other_low_frames(material: Path) -> None:
    library = load_library(material)
    blind, known = (
        Sampler(library, CONFIG.override({"protocol": protocol})).batch(3, SHAPE)
        for protocol in ("bsrgan", "bd")
    )
    assert torch.equal(blind.target, known.target)
    assert blind.low.shape == known.low.shape
    difference = (blind.low - known.low).abs().mean()
    assert 0.005 < difference < 0.2


def test_clip_that_is_played_back_has_the_motion_of_both_ways(material: Path) -> None:
    config = CONFIG.override({"ping_pong_weight": 0.5})
    batch = Sampler(load_library(material), config).batch(0, SHAPE)
    assert batch.low.shape[1] == 3
    assert batch.flow is not None
    assert batch.flow.shape == (2, 4, 2, 16, 16)


def test_pictures_are_degraded_too() -> None:
    library = Library((), (), (textured(120, 160, 3),))
    config = config_of(generator="srcnn", flow="none", frames=1, photo_share=1.0, protocol="bsrgan")
    batch = Sampler(library, config).batch(0, (2, 1, 16))
    assert batch.low.shape == (2, 1, 3, 16, 16)
    assert not torch.equal(batch.low[0], batch.low[1])


def test_flow_is_learned_from_degraded_frames_too() -> None:
    library = Library((), (), (textured(120, 160, 3), textured(120, 160, 4)))
    config = config_of(task="flow", flow="pyramid", photo_share=1.0, protocol="bsrgan")
    batch = Sampler(library, config).batch(0, (1, 2, 16))
    assert batch.low.shape == (1, 2, 3, 16, 16)
    assert batch.flow is not None


def test_validation_clips_are_degraded_once_and_for_all(material: Path) -> None:
    library = load_library(material)
    (one,), (same,), (known,) = (validation_sequences(library, name) for name in ("bsrgan", "bsrgan", "bd"))
    assert np.array_equal(one.low, same.low)
    assert not np.array_equal(one.low, known.low)


def test_clips_that_were_picked_from_and_no_others_carry_the_factor(
    material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = load_library(material)
    config = CONFIG.override({"picked_factor": 4.0})
    factors: list[float] = []
    for steps in ([Pick(4)], [Decimate(4, np.ones(3))], [Pick(4), GaussianNoise(np.zeros(3), BY_CHANNEL)]):
        sampler = Sampler(library, config)
        monkeypatch.setattr(sampler, "_drawn", lambda *_, steps=steps, **__: steps)
        batch = sampler.batch(0, SHAPE)
        assert batch.pixel_factor is not None
        factors += batch.pixel_factor.tolist()
    assert factors == [4, 4, 1, 1, 4, 4]
