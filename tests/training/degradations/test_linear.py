"""Known answers for the protocol's two ways of making low frames."""

import math

import numpy as np
import pytest
import torch

from training.config import LinearName, ProtocolName
from training.degradations.linear import axis_matrix, degrade, degrade_frames, gaussian_taps, project

BOTH: tuple[ProtocolName, ...] = ("bd", "bi")


def test_gaussian_has_twelve_taps_that_sum_to_one_and_mirror() -> None:
    taps = gaussian_taps()
    assert taps.shape == (12,)
    assert taps.sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(taps, taps.flip(0))
    assert (taps[5] / taps[4]).item() == pytest.approx(math.exp((1.5**2 - 0.5**2) / (2 * 1.5**2)), rel=1e-5)


@pytest.mark.parametrize("protocol", BOTH)
def test_each_low_sample_weighs_to_one(protocol: ProtocolName) -> None:
    assert torch.allclose(axis_matrix(48, protocol).sum(1), torch.ones(12), atol=1e-5)


@pytest.mark.parametrize("protocol", BOTH)
def test_low_sample_i_lies_at_high_coordinate_4i_plus_one_and_a_half(protocol: ProtocolName) -> None:
    ramp = torch.arange(96.0)
    low = axis_matrix(96, protocol) @ ramp
    expected = 4 * torch.arange(24.0) + 1.5
    assert torch.allclose(low[3:-3], expected[3:-3], atol=1e-3)  # the borders mirror the ramp


def test_bd_equals_the_blur_written_out() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (24, 32), dtype=np.uint8)
    padded = np.pad(frame.astype(float), 4, mode="reflect")
    taps = np.exp(-((np.arange(12) - 5.5) ** 2) / 4.5)
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    expected = [
        [(padded[4 * i : 4 * i + 12, 4 * j : 4 * j + 12] * kernel).sum() for j in range(8)] for i in range(6)
    ]
    low = degrade(torch.from_numpy(frame), "bd")
    assert np.abs(low.numpy() - np.array(expected)).max() <= 0.501


def test_bi_equals_torch_on_both_axes() -> None:
    frame = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 24, 32), dtype=np.uint8))
    expected = torch.nn.functional.interpolate(frame.float(), size=(6, 8), mode="bicubic", antialias=True)
    low = degrade(frame, "bi").float()
    assert (low - expected.clamp(0, 255)).abs().max() <= 0.501


def test_crop_that_starts_on_the_grid_gives_the_same_low_frames_inside() -> None:
    frame = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8))
    whole, crop = degrade(frame, "bd"), degrade(frame[16:48, 8:56], "bd")
    assert torch.equal(whole[5:11, 3:13], crop[1:-1, 1:-1])


def test_frames_keep_their_layout() -> None:
    frames = torch.full((2, 16, 8, 3), 7, dtype=torch.uint8)
    assert torch.equal(degrade_frames(frames, "bd"), torch.full((2, 4, 2, 3), 7, dtype=torch.uint8))


def test_side_that_is_no_multiple_of_four_is_refused() -> None:
    with pytest.raises(ValueError, match="10x16"):
        degrade(torch.zeros(16, 10), "bd")


@pytest.mark.parametrize("protocol", ["bd", "bi"])
def test_projection_is_exact_under_autocast_even_where_it_is_the_first_of_its_size(
    protocol: LinearName,
) -> None:
    target = torch.rand(1, 3, 40, 52)
    plain = project(target, protocol)
    axis_matrix.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(project(target, protocol), plain)
