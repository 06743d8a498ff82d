"""Batches: the same for the same seed and step, and consistent in themselves."""

import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.warping import upsample_flow, warp
from tests.training.made import config_of, panning, textured
from training.config import TrainingConfig
from training.data.batches import Batch, Row, collate
from training.data.sampler import CPU, Sampler, prefetch
from training.data.sequences import VALIDATION_FRAMES, play_order, validation_sequences
from training.data.sources import Clip, Library, load_library
from training.degradations.linear import degrade_frames

SHAPE = (2, 3, 16)


@pytest.fixture
def sampler(material: Path) -> Sampler:
    return Sampler(load_library(material), config_of(photo_share=0.5))


def test_batch_is_a_function_of_seed_and_step(sampler: Sampler, material: Path) -> None:
    sampler.batch(0, SHAPE)  # what was drawn before must not matter
    again = Sampler(load_library(material), config_of(photo_share=0.5))
    one, two, other = sampler.batch(7, SHAPE), again.batch(7, SHAPE), sampler.batch(8, SHAPE)
    assert torch.equal(one.target, two.target)
    assert one.flow is not None
    assert two.flow is not None
    assert torch.equal(one.flow, two.flow)
    assert not torch.equal(one.target, other.target)


def test_two_processes_draw_the_halves_of_one_batch(sampler: Sampler) -> None:
    whole = sampler.batch(3, SHAPE)
    halves = [sampler.batch(3, SHAPE, rank=rank, ranks=2) for rank in range(2)]
    assert torch.equal(whole.low, torch.cat([half.low for half in halves]))


def test_batch_that_cannot_be_shared_and_crop_that_fits_nowhere_are_refused(
    sampler: Sampler, material: Path
) -> None:
    with pytest.raises(ValueError, match="3 processes"):
        sampler.batch(0, SHAPE, ranks=3)
    library = load_library(material)
    with pytest.raises(ValueError, match="crop is 65"):
        Sampler(replace(library, photos=()), TrainingConfig()).batch(0, (1, 2, 65))


def test_shapes_and_ranges_are_as_the_recurrence_wants_them(sampler: Sampler) -> None:
    batch = sampler.batch(0, SHAPE)
    assert batch.low.shape == (2, 3, 3, 16, 16)
    assert batch.target.shape == (2, 3, 3, 64, 64)
    assert batch.flow is not None
    assert batch.flow.shape == (2, 2, 2, 16, 16)
    assert 0 <= batch.low.min() <= batch.low.max() <= 1


def test_low_frames_are_the_degraded_target(sampler: Sampler) -> None:
    batch = sampler.batch(1, SHAPE)
    for low, target in zip(batch.low, batch.target, strict=True):
        made = degrade_frames((target * 255).round().byte().permute(0, 2, 3, 1), "bd").permute(0, 3, 1, 2)
        difference = (made.float() - low * 255)[
            ..., 1:-1, 1:-1
        ].abs()  # whole frames were blurred, so borders differ
        assert difference.max() < 0.01


@pytest.mark.parametrize("code", range(8))
def test_flow_turns_with_the_picture(code: int) -> None:
    """Guards against a flip that forgets the sign, or a transposition that forgets to swap x and y."""
    rng = np.random.default_rng(0)
    scene = np.repeat(np.repeat(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8), 4, 0), 4, 1)
    target = np.stack([scene[4 * t : 4 * t + 64, 8 * t : 8 * t + 64] for t in range(3)])
    flow = np.broadcast_to(np.array([2, 1], np.float32)[:, None, None], (2, 2, 16, 16))
    batch = collate([Row(target, target[:, ::4, ::4], flow, code)], CPU)
    assert batch.flow is not None
    moved = warp(batch.target[0, :-1], upsample_flow(batch.flow[0]))
    assert (moved - batch.target[0, 1:])[..., 8:-8, 8:-8].abs().max() < 1e-4


def test_turned_pictures_are_the_same_pixels_elsewhere() -> None:
    """Bit for bit: a batch must not depend on where its floats are made."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    rows = [Row(frames, frames[:, :2, :2], None, turn) for turn in range(8)]
    batch = collate(rows, CPU)
    assert batch.flow is None
    flipped = {1: frames[:, :, ::-1], 2: frames[:, ::-1], 3: frames[:, ::-1, ::-1]}
    for turn in range(8):
        expected = flipped.get(turn & 3, frames)
        expected = expected.swapaxes(1, 2) if turn & 4 else expected
        assert np.array_equal(batch.target[turn].numpy(), expected.transpose(0, 3, 1, 2) / np.float32(255))


def test_short_clip_plays_consecutive_frames_and_turns_round_at_its_ends() -> None:
    for seed in range(20):
        order = play_order(np.random.default_rng(seed), 4, 9)
        assert len(order) == 9
        assert all(abs(a - b) == 1 for a, b in pairwise(order))
        assert set(order) == {0, 1, 2, 3}


def test_long_clip_plays_both_ways_at_one_or_two_frames_a_step() -> None:
    steps = set()
    for seed in range(60):
        order = play_order(np.random.default_rng(seed), 17, 9)
        assert 0 <= min(order) <= max(order) <= 16
        steps |= {b - a for a, b in pairwise(order)}
    assert steps == {-2, -1, 1, 2}


def test_crop_that_slides_over_a_still_clip_has_the_motion_of_its_sliding() -> None:
    """Guards against a sign, or an axis, by which flow and picture would part."""
    scene = textured(160, 160, 0)
    still = Sampler(Library((Clip("still", np.stack([scene] * 4)),), (), ()), TrainingConfig())
    flows = []
    for step in range(12):
        batch = still.batch(step, (1, 4, 16))
        assert batch.flow is not None
        flows.append(batch.flow[0])
        moved = warp(batch.target[0, :-1], upsample_flow(batch.flow[0]))
        assert (moved - batch.target[0, 1:])[..., 8:-8, 8:-8].abs().mean() < 0.01
    found = torch.stack(flows).median(-1).values.median(-1).values.round()
    assert {-1.0, 0.0, 1.0} == set(found.flatten().tolist())


def test_some_rows_hold_one_frame_without_motion() -> None:
    moving = Sampler(Library((Clip("moving", panning(6, 96, 96, 0)),), (), ()), TrainingConfig())
    held = 0
    for step in range(30):
        batch = moving.batch(step, (1, 4, 16))
        assert batch.flow is not None
        still = bool((batch.target[0, 1:] == batch.target[0, :1]).all())
        assert still == (float(batch.flow.abs().max()) < 0.05)
        held += still
    assert 1 <= held <= 15


def test_clips_that_move_are_drawn_more_often() -> None:
    moving, still = panning(6, 96, 96, 0), np.stack([textured(96, 96, 1)] * 6)
    library = Library((Clip("still", still), Clip("moving", moving)), (), ())
    weights = Sampler(library, TrainingConfig())._clip_weights
    assert weights[1] > 1.5 * weights[0] > 0


def test_prefetch_keeps_the_order_from_where_it_starts_and_raises_what_the_maker_raised() -> None:
    def make(step: int) -> Batch:
        if step == 8:
            raise ValueError("no step 8")
        return Batch(torch.tensor(step), torch.tensor(0), None)

    batches = prefetch(make, 5)
    assert [int(next(batches).low) for _ in range(3)] == [5, 6, 7]
    with pytest.raises(ValueError, match="no step 8"):
        next(batches)


def test_prefetch_ends_when_its_consumer_leaves_though_its_queue_is_full() -> None:
    def make(step: int) -> Batch:
        if step == 3:
            raise ValueError("nobody waits for this any more")
        return Batch(torch.tensor(step), torch.tensor(0), None)

    batches = prefetch(make, 0, depth=1)
    next(batches)
    time.sleep(0.3)
    batches.close()
    assert all(thread.name != "prefetch" for thread in threading.enumerate())


def test_validation_takes_held_out_shots_and_a_photograph_without_them(material: Path) -> None:
    library = load_library(material)
    (held_out,) = validation_sequences(library, "bd")
    assert len(held_out.low) == VALIDATION_FRAMES > len(library.held_out[0].frames)  # played to and fro
    (tmp,) = validation_sequences(type(library)((), (), library.photos), "bd")
    assert tmp.name == "photo"


def test_clip_played_both_ways_has_the_motion_of_the_way_back(material: Path) -> None:
    config = config_of(photo_share=0.0, gan_weight=0.01)
    batch = Sampler(load_library(material), config).batch(0, SHAPE)
    assert batch.flow is not None
    assert batch.flow.shape == (2, 4, 2, 16, 16)
    # The texture pans steadily: what leads back one way leads on the other.
    ahead = batch.flow.flip(1)[:, :2]
    assert batch.flow[:, :2].abs().max() > 0.2
    forth, back = (flow.flatten(3).median(-1).values for flow in (batch.flow[:, :2], ahead))
    torch.testing.assert_close(forth, -back, atol=0.1, rtol=0.1)
