"""Reducing a network's output: nothing is moved, nothing aliases, and half is the mean of four."""

import numpy as np
import pytest

from worker.engine.reducing import reduced

THREE_QUARTERS, NINE_SIXTEENTHS = (288, 216), (216, 162)  # of 384x288


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_what_has_the_size_is_left_alone():
    high = noise(8, 12, 3)
    assert reduced(high, (12, 8)) is high


@pytest.mark.parametrize("shape", [(8, 12, 3), (8, 12)])
def test_half_is_the_mean_of_four(shape):
    high = noise(*shape)
    mean = high.reshape(4, 2, 6, 2, -1).astype(float).mean((1, 3)).reshape(4, 6, *shape[2:])
    assert np.abs(reduced(high, (6, 4)) - mean).max() <= 0.5


@pytest.mark.parametrize("size", [THREE_QUARTERS, NINE_SIXTEENTHS, (100, 75)])
@pytest.mark.parametrize("level", [0, 77, 255])
def test_an_even_field_stays_as_it_is(size, level):
    small = reduced(np.full((288, 384), level, np.uint8), size)
    assert small.shape == size[::-1]
    assert set(np.unique(small)) == {level}


@pytest.mark.parametrize("size", [THREE_QUARTERS, NINE_SIXTEENTHS, (100, 75)])
def test_a_ramp_stays_where_it_is(size):
    across = np.broadcast_to(np.arange(384) * 255 / 383, (288, 384)).round().astype(np.uint8)
    small = reduced(np.dstack([across, across, across]), size).astype(float)
    wanted = ((np.arange(size[0]) + 0.5) * 384 / size[0] - 0.5) * 255 / 383
    inside = slice(4, -4)
    assert np.abs((small - wanted[None, :, None])[:, inside].mean()) < 0.1  # a pixel's shift would be 0.66
    assert np.abs(small - wanted[None, :, None])[:, inside].max() <= 1.5


def test_detail_too_fine_for_the_result_becomes_grey_and_no_other_pattern():
    """Guards against a filter that samples: stripes of two pixels would come back as broad ones."""
    stripes = np.broadcast_to((np.arange(384) % 2 * 255).astype(np.uint8), (288, 384))
    small = reduced(np.ascontiguousarray(stripes), NINE_SIXTEENTHS).astype(int)[:, 4:-4]
    assert np.abs(small - 127).max() <= 16
