"""Known answers for the metrics; those that need Vid4 itself are in training/LOG.md."""

import math

import numpy as np
import pytest
import torch

from tests.training.made import textured
from training.scores.evaluate import EvaluationError, centre_crop
from training.scores.metrics import luma, motion, motion_difference, psnr, ssim


def test_luma_runs_from_16_to_235() -> None:
    pixels = torch.tensor([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], dtype=torch.uint8)
    assert luma(pixels)[0].tolist() == pytest.approx([16.0, 235.0, 81.481])


def test_psnr_of_a_known_error() -> None:
    truth = torch.zeros(8, 8, dtype=torch.float64)
    assert psnr(truth + 2.55, truth) == pytest.approx(40.0)
    assert psnr(truth, truth) == math.inf


def test_ssim_is_one_for_equal_pictures_and_equals_the_formula_written_out() -> None:
    rng = np.random.default_rng(0)
    truth, output = rng.uniform(16, 235, (2, 9, 8))
    assert ssim(torch.from_numpy(truth), torch.from_numpy(truth)) == pytest.approx(1)
    span = output.max() - output.min()
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    values = []
    for i in range(3):
        for j in range(2):
            x, y = output[i : i + 7, j : j + 7], truth[i : i + 7, j : j + 7]
            covariance = np.cov(x.ravel(), y.ravel())
            top = (2 * x.mean() * y.mean() + c1) * (2 * covariance[0, 1] + c2)
            values.append(
                top / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2))
            )
    assert ssim(torch.from_numpy(output), torch.from_numpy(truth)) == pytest.approx(np.mean(values))


def test_motion_difference_is_the_mean_length() -> None:
    truth = np.zeros((4, 4, 2), np.float32)
    assert motion_difference(truth + np.array([3, 4], np.float32), truth) == pytest.approx(5)


def test_motion_sees_a_shift() -> None:
    scene = textured(96, 112, 0)
    before, frame = scene[:, :96], scene[:, 2:98]
    found = motion(np.ascontiguousarray(before), np.ascontiguousarray(frame))[24:72, 24:72]
    assert np.median(found[..., 0]) == pytest.approx(-2, abs=0.2)
    assert np.median(found[..., 1]) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(
    ("height", "width", "kept"), [(576, 720, (544, 704)), (480, 720, (448, 704)), (576, 704, (544, 672))]
)
def test_centre_crop_of_vid4_is_the_published_one(height: int, width: int, kept: tuple[int, int]) -> None:
    rows, columns = centre_crop(height, width)
    assert (rows.stop - rows.start, columns.stop - columns.start) == kept
    assert rows.start == (height - kept[0]) // 2


def test_clip_too_small_for_the_crop_is_refused() -> None:
    with pytest.raises(EvaluationError, match="40x40"):
        centre_crop(40, 40)
