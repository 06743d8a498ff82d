"""Each protocol's low frames, by what they must be."""

from typing import get_args

import numpy as np
import pytest

from tests.training.made import panning
from training.config import EvaluationName, ProtocolName
from training.degradations.protocols import make_low

TARGET = panning(4, 96, 128, 0)


@pytest.mark.parametrize("protocol", sorted({*get_args(ProtocolName), *get_args(EvaluationName)}))
def test_low_frames_are_four_times_smaller_and_the_same_each_time(protocol: EvaluationName) -> None:
    if protocol == "bd-x264":
        pytest.importorskip("av")
    low = make_low("clip", TARGET, protocol)
    assert low.shape == (4, 24, 32, 3)
    assert low.dtype == np.uint8
    assert np.array_equal(low, make_low("clip", TARGET, protocol))


def test_decimation_takes_the_third_pixel_of_each_block() -> None:
    assert np.array_equal(make_low("clip", TARGET, "decimated"), TARGET[:, 2::4, 2::4])


def test_noise_has_a_deviation_of_ten_levels_and_differs_between_frames_and_clips() -> None:
    grey = np.full((2, 256, 256, 3), 128, np.uint8)
    noise = make_low("clip", grey, "bd-noise10").astype(float) - 128
    assert noise.std((1, 2, 3)) == pytest.approx([10, 10], rel=0.03)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.03
    assert not np.array_equal(noise, make_low("other", grey, "bd-noise10").astype(float) - 128)


def test_x264_stays_near_bd_but_loses_something() -> None:
    pytest.importorskip("av")
    difference = np.abs(make_low("clip", TARGET, "bd-x264").astype(int) - make_low("clip", TARGET, "bd"))
    assert 0.5 < difference.mean() < 12
