"""Known answers for the training losses."""

import math

import pytest
import torch

from training.losses import charbonnier, log_square, robust_end_point, warping


def test_charbonnier_is_epsilon_at_zero_and_the_distance_far_away() -> None:
    target = torch.zeros(1, 2, 3, 4, 4)
    assert charbonnier(target, target).item() == pytest.approx(1e-3)
    assert charbonnier(target + 0.5, target).item() == pytest.approx(math.sqrt(0.25 + 1e-6))


def test_log_square_counts_each_clip_by_its_own_error() -> None:
    target = torch.zeros(2, 3, 3, 4, 4)
    high = target.clone()
    high[0], high[1] = 0.1, 0.01
    expected = (math.log(0.01 + 1e-4) + math.log(0.0001 + 1e-4)) / 2
    assert log_square(high, target).item() == pytest.approx(expected, rel=1e-5)


def test_warping_is_zero_for_the_true_motion_and_the_mean_square_without() -> None:
    frame = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    previous = frame.roll(1, dims=3)
    previous[..., 0] = previous[..., 1]  # what comes in repeats the border
    flow = torch.zeros(1, 2, 8, 8)
    assert warping(previous, frame, flow).item() == pytest.approx(((previous - frame) ** 2).mean().item())
    flow[:, 0] = 1  # a pixel of `frame` was one to the right in `previous`
    inside = warping(previous[..., 1:], frame[..., 1:], flow[..., 1:])
    # The last column's source lies outside; the border stands in for it, and all else is exact.
    last = ((previous[..., -1] - frame[..., -1]) ** 2).mean() / 7
    assert inside.item() == pytest.approx(last.item(), abs=1e-6)


def test_robust_end_point_of_a_known_distance() -> None:
    truth = torch.zeros(1, 2, 4, 4)
    flow = truth.clone()
    flow[:, 0], flow[:, 1] = 3.0, -4.0
    assert robust_end_point(flow, truth).item() == pytest.approx((7 + 0.01) ** 0.4)
    assert robust_end_point(truth, truth).item() == pytest.approx(0.01**0.4)


def test_losses_have_finite_gradients_where_nothing_differs() -> None:
    x = torch.zeros(1, 2, 4, 4, requires_grad=True)
    (charbonnier(x, torch.zeros_like(x)) + robust_end_point(x, torch.zeros_like(x))).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
