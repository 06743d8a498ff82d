"""Known answers for the losses of Best-Buddy GAN."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model_core.warping import bicubic4
from training.degradations.linear import degrade, project
from training.losses.best_buddy import back_projection, best_buddy, cut_patches, textured

SIDE = 48  # a multiple of 3 at each of the three levels: 16, 8 and 4 patches on a side


def random_picture(seed: int, side: int = SIDE, count: int = 1) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def paste(picture: Tensor, patches: Tensor) -> Tensor:
    """The picture that those patches (N, P, 27) make up."""
    return F.fold(patches.transpose(1, 2), picture.shape[-2:], 3, stride=3)


def shrunken(picture: Tensor, times: int) -> Tensor:
    size = picture.shape[-1] // times
    return F.interpolate(picture, size=(size, size), mode="bicubic", antialias=True)


def test_truth_is_its_own_best_buddy() -> None:
    target = random_picture(0, count=2)
    assert best_buddy(target, target).item() == 0


def test_loss_is_that_of_the_definition_written_out() -> None:
    high, target = random_picture(1), random_picture(2)
    levels = [target, shrunken(target, 2), shrunken(target, 4)]
    candidates = torch.cat([cut_patches(level)[0] for level in levels]).double().numpy()
    found = []
    for p, gt in zip(cut_patches(high)[0].numpy(), cut_patches(target)[0].numpy(), strict=True):
        scores = [((g - gt) ** 2).sum() + ((g - p) ** 2).sum() for g in candidates]
        found.append(np.abs(p - candidates[int(np.argmin(scores))]).mean())
    assert best_buddy(high, target).item() == pytest.approx(float(np.mean(found)), rel=1e-5)


def step_away(seed: int) -> Tensor:
    """(27,) so short a way that nothing else in a random picture lies near its ends."""
    return (torch.rand(27, generator=torch.Generator().manual_seed(seed)) - 0.5) / 4


def test_patch_found_elsewhere_in_the_truth_costs_nothing_where_l1_costs_much() -> None:
    patches, way = cut_patches(random_picture(3)), step_away(4)
    patches[:, 9] = patches[:, 0] + way
    target = paste(random_picture(3), patches)
    high = target.clone()
    high[..., :3, :3] = target[..., :3, 27:30] + 1e-4 * way.view(3, 3, 3)  # a tie, but for that little
    assert best_buddy(high, target).item() < 1e-6
    assert (high - target).abs().mean().item() == pytest.approx(way.abs().mean().item() / 256, rel=1e-3)


def test_buddy_changes_where_the_estimate_passes_it() -> None:
    """Short of another patch the truth at its own place stays nearer in sum; past it, the other one is."""
    patches, way = cut_patches(random_picture(5)), step_away(6)
    patches[:, 1] = patches[:, 0] + way
    target = paste(random_picture(5), patches)
    for share, expected in ((0.9, 0.9), (1.1, 0.1)):
        estimated = patches.clone()
        estimated[:, 0] += share * way
        found = best_buddy(paste(target, estimated), target).item()
        assert found == pytest.approx(expected * way.abs().mean().item() / 256, rel=1e-4)


@pytest.mark.parametrize("times", [2, 4])
def test_patch_of_the_shrunken_truth_serves_as_well(times: int) -> None:
    target = random_picture(6)
    patches, smaller = cut_patches(target), cut_patches(shrunken(target, times))
    estimated = patches.clone()
    estimated[:, 7] = 2 * smaller[:, 5] - patches[:, 7]  # so that the smaller one lies half-way
    half = (smaller[:, 5] - patches[:, 7]).abs().mean().item()
    found = best_buddy(paste(target, estimated), target).item()
    assert found == pytest.approx(half / 256, rel=1e-4)


def test_patch_of_another_picture_is_never_a_buddy() -> None:
    target = random_picture(7, count=2)
    high = target.flip(0)
    alone = [best_buddy(high[i : i + 1], target[i : i + 1]).item() for i in range(2)]
    assert best_buddy(high, target).item() == pytest.approx(sum(alone) / 2)
    assert min(alone) > 0.1


def test_ringing_beside_an_edge_is_not_excused() -> None:
    target = torch.zeros(1, 3, SIDE, SIDE)
    target[..., 24:] = 0.8
    ringing = target.clone()
    ringing[..., 21:24] -= 0.1  # one column of patches, darker than anything in the truth
    assert best_buddy(ringing, target).item() == pytest.approx(0.1 / 16, rel=1e-3)


def test_gradient_pulls_each_patch_to_its_buddy_and_the_target_gets_none() -> None:
    high, target = random_picture(8).requires_grad_(), random_picture(9).requires_grad_()
    best_buddy(high, target).backward()
    assert target.grad is None
    assert high.grad is not None
    # That of a mean of absolute distances to something constant: one size everywhere, only the sign differs.
    torch.testing.assert_close(high.grad.abs(), torch.full_like(high, 1 / high.numel()))


def test_choice_is_as_fine_under_bf16_autocast() -> None:
    high, target = random_picture(10), random_picture(11)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = best_buddy(high, target)
    assert narrow.item() == pytest.approx(best_buddy(high, target).item(), rel=1e-6)


def test_mask_parts_a_flat_half_from_a_noisy_one() -> None:
    low = torch.full((1, 3, 16, 32), 0.5)
    low[..., 16:] += 0.4 * (random_picture(12, 16) - 0.5)
    mask = textured(low)
    assert mask.shape == (1, 1, 64, 128)
    reach = 5 + 8  # half a window, and two low pixels of the bicubic kernel
    assert mask[..., : 64 - reach].max() == 0
    assert mask[..., 64 + reach :].mean() > 0.95
    assert set(mask.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("contrast", "expected"), [(0.020, 0.0), (0.030, 1.0)])
def test_mask_turns_at_a_deviation_of_a_fortieth(contrast: float, expected: float) -> None:
    """A ramp of s a pixel deviates by s √((11² - 1) / 12), unbiased √(121 / 120) times as much."""
    slope = contrast / ((11**2 - 1) / 12) ** 0.5 / (121 / 120) ** 0.5  # a high pixel
    ramp = 4 * slope * torch.arange(24.0).expand(1, 3, 24, 24)
    inside = textured(ramp)[..., 24:72, 24:72]
    assert torch.equal(inside, torch.full_like(inside, expected))


def test_mask_weighs_colours_by_their_luma() -> None:
    low = torch.full((1, 3, 16, 16), 0.5)
    noise = 0.2 * (random_picture(13, 16)[:, 0] - 0.5)
    blue, green = low.clone(), low.clone()
    blue[:, 2] += noise
    green[:, 1] += noise
    assert textured(blue).mean() == 0
    assert textured(green).mean() > 0.5


def test_picture_consistent_with_its_input_projects_back_onto_it() -> None:
    high = random_picture(14)
    low = degrade(high * 255, "bd").float() / 255

    def back(picture: Tensor) -> Tensor:
        return project(picture, "bd")

    assert back_projection(high, low, back).item() < 0.5 / 255  # the input was rounded, and nothing else
    flat = torch.full((1, 3, 12, 12), 0.25)
    assert back_projection(bicubic4(flat), flat, back).item() == pytest.approx(0, abs=1e-6)
    assert back_projection(bicubic4(flat) + 0.1, flat, back).item() == pytest.approx(0.1, rel=1e-5)


def test_detail_that_the_input_cannot_show_is_free() -> None:
    """An even, symmetric kernel doesn't see a checkerboard, but at the reflected borders."""
    high = random_picture(15)
    rows = torch.arange(SIDE)
    board = 0.2 * (1 - 2 * ((rows[:, None] + rows) % 2))

    def inside(picture: Tensor) -> Tensor:
        return project(picture, "bd")[..., 1:-1, 1:-1]

    assert back_projection(high + board, inside(high), inside).item() == pytest.approx(0, abs=1e-6)


def test_back_projection_reaches_every_pixel_with_a_gradient() -> None:
    high = random_picture(16).requires_grad_()
    low = torch.zeros(1, 3, SIDE // 4, SIDE // 4)
    back_projection(high, low, lambda picture: project(picture, "bi")).backward()
    assert high.grad is not None
    # All samples are too bright, so each pixel's pull is its part in them: the matrices' columns.
    assert high.grad.sum().item() == pytest.approx(1, rel=1e-4)
    assert (high.grad != 0).all()
