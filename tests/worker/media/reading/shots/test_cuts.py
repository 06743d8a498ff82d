"""Cuts: found where a shot ends, and not where the picture flashes, pans, shakes or fades."""

import numpy as np
import pytest

from worker.media.reading.shots.cuts import THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, CutFinder

H, W = THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH


def scene(seed, width=W):
    """A picture with large and small structure, wider than the frame where one wants to pan over it."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((H, width))
    for block in (4, 12):
        coarse = rng.uniform(0, 255, (H // block + 2, width // block + 2))
        picture += np.kron(coarse, np.ones((block, block)))[:H, :width] / 2
    return picture


def shot(seed, count, speed=0, noise=2.0):
    """`count` thumbnails of one scene, panning `speed` samples a frame, with the noise of a camera."""
    wide = scene(seed, W + max(speed, 0) * count)
    rng = np.random.default_rng(seed + 1000)
    for index in range(count):
        view = wide[:, index * speed : index * speed + W]
        yield np.clip(view + rng.normal(0, noise, view.shape), 0, 255).astype(np.uint8)


def cuts_of(thumbnails):
    finder = CutFinder()
    for thumbnail in thumbnails:
        finder.add(thumbnail)
    return finder.finish()


@pytest.mark.parametrize("speed", [0, 1, 2])
def test_each_new_scene_is_a_cut(speed):
    assert cuts_of([*shot(1, 20, speed), *shot(2, 15, speed), *shot(3, 25, speed)]) == (20, 35)


@pytest.mark.parametrize("lengths", [(5, 5, 5), (4, 6, 4), (1, 10), (10, 1), (2, 2)])
def test_short_shots_are_kept_apart(lengths):
    thumbnails = [thumbnail for seed, count in enumerate(lengths) for thumbnail in shot(seed, count)]
    assert cuts_of(thumbnails) == tuple(int(at) for at in np.cumsum(lengths)[:-1])


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("level", [0, 255])
def test_a_flash_is_no_cut(length, level):
    frames = list(shot(1, 30))
    for index in range(12, 12 + length):
        frames[index] = np.full((H, W), level, np.uint8)
    assert cuts_of(frames) == ()


def test_a_flash_that_dies_away_slowly_is_no_cut():
    frames = list(shot(1, 30))
    for index, strength in enumerate([1.0, 0.7, 0.5, 0.35, 0.25, 0.15]):
        frames[12 + index] = (frames[12 + index] * (1 - strength) + 255 * strength).astype(np.uint8)
    assert cuts_of(frames) == ()


@pytest.mark.parametrize("speed", [3, 6, 12])
def test_a_fast_pan_that_starts_and_stops_is_no_cut(speed):
    pan = list(shot(1, 20, speed))
    assert cuts_of([pan[0]] * 10 + pan + [pan[-1]] * 10) == ()


def test_noise_in_every_frame_is_no_cut():
    rng = np.random.default_rng(5)
    assert cuts_of(rng.integers(0, 256, (40, H, W)).astype(np.uint8)) == ()


def test_a_dissolve_is_no_cut():
    old, new = scene(1), scene(2)
    mixed = [(old * (1 - x) + new * x).astype(np.uint8) for x in np.linspace(0, 1, 15)]
    assert cuts_of([*shot(1, 10), *mixed, *shot(2, 10)]) == ()


def test_a_cut_after_repeated_frames_is_found():
    """Film shown at video rate repeats frames, so that the usual difference is often nought."""
    assert cuts_of([t for seed in (1, 2) for t in shot(seed, 8, 2) for _ in range(2)]) == (16,)


def test_a_cut_between_dark_scenes_is_found():
    dark = [(thumbnail * 0.45).astype(np.uint8) for seed in (1, 2) for thumbnail in shot(seed, 12)]
    assert cuts_of(dark) == (12,)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_so_short_a_video_has_no_cut(count):
    assert cuts_of(shot(1, count)) == ()
