"""Known answers for the training losses."""

import math

import pytest
import torch

from training.losses.critic import (
    adversarial_critic,
    adversarial_generator,
    critic_lead,
    feature_matching,
    relative,
    relative_generator,
)
from training.losses.pixel import (
    charbonnier,
    log_square,
    ping_pong,
    robust_end_point,
    warping,
)


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


def test_ping_pong_sees_what_differs_between_the_way_forth_and_back() -> None:
    clip = torch.rand(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    same = torch.cat((clip, clip[:, :-1].flip(1)), dim=1)
    assert ping_pong(same).item() == pytest.approx(1e-3, rel=1e-4)  # epsilon
    drifted = same.clone()
    drifted[:, 3:] += 0.1
    assert ping_pong(drifted).item() == pytest.approx(0.1, rel=1e-3)


def test_feature_matching_is_relative_to_each_layer() -> None:
    real = torch.full((1, 2, 3, 3), -4.0)
    assert feature_matching([real * 1.5], [real]).item() == pytest.approx(0.5)
    assert feature_matching([real * 1.5, real * 80], [real, real * 100]).item() == pytest.approx(0.7)


def test_adversarial_losses_of_known_logits() -> None:
    blind, sure = torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 20.0)
    assert adversarial_critic(blind, blind).item() == pytest.approx(2 * math.log(2))
    assert adversarial_critic(sure, -sure).item() == pytest.approx(0, abs=1e-6)
    assert adversarial_generator(blind).item() == pytest.approx(math.log(2))
    assert adversarial_generator(-sure).item() == pytest.approx(20)
    assert critic_lead(blind, blind).item() == 0
    assert critic_lead(sure, -sure).item() == pytest.approx(20)


def test_relativistic_losses_of_known_logits() -> None:
    real, fake = torch.tensor([3.0, 1.0]), torch.tensor([0.0, -2.0])
    of_real, of_fake = relative(real, fake)
    assert of_real.tolist() == [4.0, 2.0]
    assert of_fake.tolist() == [-2.0, -4.0]

    def log_sigmoid(x: float) -> float:
        return -math.log(1 + math.exp(-x))

    # Eq. 1 and 2 written out: D_Ra is the sigmoid of those, and 1 - sigmoid(x) = sigmoid(-x).
    found_by_d = -(log_sigmoid(4) + log_sigmoid(2)) / 2 - (log_sigmoid(2) + log_sigmoid(4)) / 2
    assert adversarial_critic(of_real, of_fake).item() == pytest.approx(found_by_d)
    paid_by_g = -(log_sigmoid(-4) + log_sigmoid(-2)) / 2 - (log_sigmoid(-2) + log_sigmoid(-4)) / 2
    assert relative_generator(real, fake).item() == pytest.approx(paid_by_g)


def test_relativistic_losses_compare_and_know_no_absolute() -> None:
    real, fake = torch.randn(2, 2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(relative_generator(real + 5, fake + 5), relative_generator(real, fake))
    assert relative_generator(real, real).item() > 2 * math.log(2) - 1e-6
    blind = torch.full((2, 1, 3, 3), 7.0)
    assert relative_generator(blind, blind).item() == pytest.approx(2 * math.log(2))
    # What the vanilla loss can't do: an output that D takes for real may still be less real than the truth.
    sure = torch.full((2, 1, 3, 3), 20.0)
    assert adversarial_generator(sure).item() == pytest.approx(0, abs=1e-6)
    assert relative_generator(sure + 20, sure).item() == pytest.approx(40)
