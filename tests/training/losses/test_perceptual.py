"""Known answers for the distances that networks see, on random weights; the published ones are in LOG.md."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.training.made import random_alexnet, random_heads, random_vgg, textured
from training.config import VggDistanceName
from training.losses.perceptual import (
    ALEXNET,
    VGG16,
    Lpips,
    PerceptualWeightsError,
    Vgg16,
    cosine_features,
    has_lpips,
    lpips_features,
)

CPU = torch.device("cpu")


def test_cosine_of_features_ignores_length_and_knows_right_angles() -> None:
    one, two = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    one[:, 0], two[:, 1] = 5.0, 0.1
    assert cosine_features([one], [one * 7]).item() == pytest.approx(0, abs=1e-6)
    assert cosine_features([one], [two]).item() == pytest.approx(1)
    assert cosine_features([one, one], [two, -one]).item() == pytest.approx(3)


def test_lpips_weighs_the_distance_of_unit_features_by_its_heads_and_is_smooth_at_zero() -> None:
    one, two = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    one[:, 0], two[:, 1] = 5.0, 0.1
    head = torch.tensor([0.2, 0.3]).view(1, 2, 1, 1)
    assert lpips_features([one], [one * 7], [head]).item() == pytest.approx(0, abs=1e-6)
    assert lpips_features([one], [two], [head]).item() == pytest.approx(0.5, rel=1e-4)
    assert lpips_features([one, two], [two, one], [head, head]).item() == pytest.approx(1, rel=1e-4)
    dark = torch.zeros(1, 2, 3, 3, requires_grad=True)
    lpips_features([dark], [one], [head]).backward()
    assert dark.grad is not None
    assert dark.grad.isfinite().all()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_file(random_vgg(), folder / VGG16.features_file)
    save_file(random_heads(), folder / VGG16.heads_file)
    save_file(random_alexnet(), folder / ALEXNET.features_file)
    save_file(random_heads((64, 192, 384, 256, 256)), folder / ALEXNET.heads_file)
    return folder


def test_lpips_is_zero_for_equal_pictures_and_grows_with_noise(weights: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    lpips = Lpips(weights, CPU)
    truth = torch.from_numpy(textured(64, 64, 0))
    noise = torch.randint(0, 24, truth.shape, generator=generator)
    seen = [
        lpips.features(picture) for picture in (truth, (truth + noise // 4).byte(), (truth + noise).byte())
    ]
    same, little, much = (lpips.distance(seen[0], other) for other in seen)
    assert same == 0
    assert 0 < little < much


@pytest.mark.parametrize("distance", ["cosine", "lpips"])
def test_loss_is_zero_for_the_truth_and_pulls_the_output_alone(
    distance: VggDistanceName, weights: Path
) -> None:
    vgg = Vgg16(weights, CPU, distance)
    target = torch.from_numpy(textured(32, 32, 0)).permute(2, 0, 1)[None].float() / 255
    assert vgg.distance(target, target).item() == pytest.approx(0, abs=1e-6)
    high = (
        target + 0.1 * torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    ).requires_grad_()
    target.requires_grad_()
    vgg.distance(high, target).backward()
    assert high.grad is not None
    assert high.grad.abs().max() > 0
    assert target.grad is None


def test_absent_weights_are_named(tmp_path: Path) -> None:
    assert not has_lpips(tmp_path)
    with pytest.raises(PerceptualWeightsError, match="alexnet_features"):
        Lpips(tmp_path, CPU)
    with pytest.raises(PerceptualWeightsError, match="--vgg-weight 0"):
        Vgg16(None, CPU)


def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path) -> None:
    save_file(random_alexnet(), tmp_path / VGG16.features_file)
    with pytest.raises(PerceptualWeightsError, match="vgg16_features"):
        Vgg16(tmp_path, CPU)
