"""What TecoGAN's presets minimise is what the paper and its code sum up, written out here a second time.

Chu et al. 2020 (arXiv:1811.09393), table 1 and the training parameters of its appendix; where they leave it
open (which layers, over which frames), the authors' code.
"""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from model_core.discriminator import Discriminator, triplet_stack
from model_core.model import Model, build
from model_core.recurrence import estimate_flow, unroll
from tests.training.made import random_vgg
from training.data.batches import Batch
from training.losses.perceptual import DEVIATION, MEAN, VGG16, Vgg16
from training.presets import PRESETS
from training.run.step import find_losses, weighed_sum

FRAMES, SIDE = 4, 32  # low pixels; D halves the inner three quarters of the enlarged crop four times
PING_PONG, PERCEPTUAL, ADVERSARIAL, FEATURES, LEAD_MAX = 0.5, 0.2, 0.01, 0.02, 0.4
POOLED_BEFORE = (5, 10, 17, 24)
LOOKED_AT = (7, 14, 21, 28)  # relu2_2, relu3_3, relu4_3, relu5_3
SMALL = {"features": 8, "blocks": 1, "frames": FRAMES, "crop": SIDE, "batch": 1}


def vgg_layers(pictures: Tensor, weights: dict[str, Tensor]) -> list[Tensor]:
    x = (pictures - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    found = []
    for index in (each.index for each in VGG16.convolutions):
        if index in POOLED_BEFORE:
            x = F.max_pool2d(x, 2)
        weight, bias = (weights[f"features.{index}.{kind}"].float() for kind in ("weight", "bias"))
        x = F.conv2d(x, weight, bias, padding=1).relu()
        if index in LOOKED_AT:
            found.append(x)
    return found


def charbonnier(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2 + 1e-6).sqrt().mean()


def published_sum(
    model: Model, critic: Discriminator, weights: dict[str, Tensor], batch: Batch, *, every_frame: bool
) -> Tensor:
    """Of a batch of one clip, by the definition."""
    order = [*range(FRAMES), *range(FRAMES - 2, -1, -1)]
    inputs, truth, flow = batch.low[0, order], batch.target[0, order], batch.flow
    if model.flow_net is not None:
        flow = estimate_flow(model, inputs[:-1], inputs[1:])[None]
    assert flow is not None
    played = unroll(model, inputs[None], flow)[0]
    loss = charbonnier(played, truth)
    loss = loss + PING_PONG * charbonnier(played[: FRAMES - 1], played[FRAMES:].flip(0))

    seen = list(range(len(order))) if every_frame else list(range(1, FRAMES - 1, 2))
    for found, wanted in zip(
        vgg_layers(played[seen], weights), vgg_layers(truth[seen], weights), strict=True
    ):
        loss = loss + PERCEPTUAL * (1 - (F.normalize(found) * F.normalize(wanted)).sum(1).mean())

    def judged(high: Tensor) -> tuple[Tensor, list[Tensor]]:
        triplets = []
        for t in [1, 4] if every_frame else [1]:
            again = len(order) - 1 - t  # the same frame on the other way, where what comes next came before
            three = slice(t - 1, t + 2)
            motions = flow[:, t - 1], flow[:, again - 1]
            triplets.append(triplet_stack(high[None, three], inputs[None, three], *motions, 4 * SIDE // 8))
        return critic(torch.cat(triplets))

    (_, of_truth), (logits, of_played) = judged(truth), judged(played)
    loss = loss - ADVERSARIAL * torch.sigmoid(logits).log().mean()
    for found, wanted in zip(of_played, of_truth, strict=True):
        loss = loss + FEATURES * (found - wanted).abs().mean() / wanted.abs().mean()
    return loss


@pytest.mark.parametrize("name", ["teco_lite", "tecogan_paper"])
def test_preset_minimises_the_published_sum(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = PRESETS[name].override(SMALL)
    model, critic, weights = build(config.model), Discriminator(features=8), random_vgg()
    critic.eval()  # spectral normalisation counts its uses while training
    save_file(weights, tmp_path / VGG16.features_file)
    low, target = torch.rand(1, FRAMES, 3, SIDE, SIDE), torch.rand(1, FRAMES, 3, 4 * SIDE, 4 * SIDE)
    flow = None if model.flow_net else torch.randn(1, 2 * FRAMES - 2, 2, SIDE, SIDE)
    batch = Batch(low, target, flow)
    vgg = Vgg16(tmp_path, torch.device("cpu"), config.losses.vgg_distance)
    with torch.no_grad():
        losses, _ = find_losses(model, batch, config, critic=critic, vgg=vgg)
        warped = config.losses.warp_weight * losses.pop("warp") if "warp" in losses else torch.zeros(())
        found = weighed_sum(losses, config.losses)
        every_frame = config.losses.looks_at == "all"
        expected = published_sum(model, critic, weights, batch, every_frame=every_frame)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    assert (warped > 0) == (model.flow_net is not None)


@pytest.mark.parametrize("name", ["teco_lite", "tecogan_paper"])
def test_d_keeps_gs_pace_and_rests_above_the_published_lead(name: str) -> None:
    critic = PRESETS[name].critic
    assert (critic.kind, critic.sees, critic.pace, critic.lead_max) == ("vanilla", "all", 1.0, LEAD_MAX)
    assert PRESETS[name].data.frames == 10
