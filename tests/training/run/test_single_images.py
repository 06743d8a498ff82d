"""Networks for pictures in the loop: their material, what D sees of them, and what it may not see."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.discriminator import PICTURE_CHANNELS, Discriminator
from tests.training.made import panning, textured
from training.config import ConfigError
from training.data.sampler import Sampler
from training.data.sequences import make_sequence, validation_sequences
from training.data.sources import Clip, Library
from training.degradations.linear import degrade_frames
from training.losses.best_buddy import textured as textured_mask
from training.losses.critic import as_judged, right
from training.presets import PRESETS
from training.run.critic import only_textured, shown
from training.run.state import load_ema
from training.run.step import Judged, find_losses, teach, weighed_sum
from training.run.train import Limits, begin, train
from training.run.validate import critic_right, validate

CPU = torch.device("cpu")
TINY = PRESETS["bebygan"].override(
    {"features": 8, "blocks": 1, "growth": 4, "batch": 2, "crop": 16, "vgg_weight": 0.0, "critic_start": 0}
)


def library(*sides: int) -> Library:
    return Library((), (), tuple(textured(side, side + 16, seed) for seed, side in enumerate(sides)))


def test_photographs_are_learned_as_they_are() -> None:
    """Not under a camera path: rendering one resamples it, and takes the finest detail away."""
    photos = library(96, 128)
    batch = Sampler(photos, TINY).batch(0, (4, 1, 16))
    assert batch.low.shape == (4, 1, 3, 16, 16)
    assert batch.target.shape == (4, 1, 3, 64, 64)
    assert batch.flow is None
    whole = [torch.from_numpy(photo).permute(2, 0, 1) for photo in photos.photos]
    for target in (batch.target[:, 0] * 255).round().byte():
        turned = [target, target.flip(1), target.flip(2), target.flip(1, 2)]
        turned += [each.transpose(1, 2) for each in turned]
        # Its upper left corner stands somewhere in one of the photographs, in one of the eight ways round.
        windows = [photo.unfold(1, 64, 4).unfold(2, 64, 4) for photo in whole]  # (3, y, x, 64, 64)
        assert any(
            bool((window == each[:, None, None]).all(dim=0).all(dim=-1).all(dim=-1).any())
            for window in windows
            for each in turned
        )


def test_low_pictures_are_cut_from_the_degraded_photograph() -> None:
    photos = library(64)
    batch = Sampler(photos, TINY.override({"crop": 16})).batch(3, (1, 1, 16))
    low = degrade_frames(torch.from_numpy(photos.photos[0][None]), "bd")[0].permute(2, 0, 1)
    found = (batch.low[0, 0] * 255).round().byte()
    turned = [found, found.flip(1), found.flip(2), found.flip(1, 2)]
    turned += [each.transpose(1, 2) for each in turned]
    assert any(bool((low[:, :16, x : x + 16] == each).all()) for each in turned for x in range(5))


def test_photograph_that_is_too_small_is_left_out() -> None:
    small_and_large = library(60, 96)
    assert Sampler(small_and_large, TINY).batch(0, (8, 1, 16)).low.shape[0] == 8
    with pytest.raises(ValueError, match="crop is 16"):
        Sampler(library(60), TINY).batch(0, (1, 1, 16))


def test_every_loss_of_beby_gan_is_weighed() -> None:
    learner = begin(TINY, Path("none"), None, CPU)
    assert learner.critic is not None
    batch = Sampler(library(96), TINY).batch(0, (2, 1, 16))
    found, judged = find_losses(learner.model, batch, TINY, critic=learner.critic)
    assert set(found) == {"pixel", "best_buddy", "back_projection", "gan", "critic_features"}
    assert learner.critic.conv_in.weight.shape[1] == PICTURE_CHANNELS
    assert judged is not None
    assert judged.real.shape == judged.fake.shape == (2, 3, 64, 64)
    expected = found["best_buddy"] + found["back_projection"] + 0.02 * found["gan"]
    assert weighed_sum(found, TINY.losses).item() == pytest.approx(expected.item(), rel=1e-5)


def test_d_sees_only_what_is_textured_in_the_input() -> None:
    low = torch.full((2, 1, 3, 16, 16), 0.5)
    low[:, :, :, 8:] = torch.rand(2, 1, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    high = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) + 0.1
    everything = shown(high, low, None, [0], "all")
    assert torch.equal(everything, high[:, 0])
    seen = shown(high, low, None, [0], "textured")
    assert seen[:, :, :16].abs().max() == 0
    assert torch.equal(seen[:, :, 48:], high[:, 0, :, 48:])


def test_mask_lies_on_the_inner_part_that_triplets_are_cut_to() -> None:
    low = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    low[..., :8] = 0.5
    seen = torch.ones(1, 27, 48, 48)
    assert torch.equal(only_textured(seen, low), textured_mask(low)[..., 8:56, 8:56].expand(1, 27, 48, 48))


def test_relativistic_d_is_right_where_the_real_side_is_the_more_real() -> None:
    of_real, of_fake = torch.tensor([9.0, 7.0]), torch.tensor([5.0, 3.0])
    assert right(of_real, of_fake).item() == 0.5  # it calls both real
    assert right(*as_judged(of_real, of_fake, "vanilla")).item() == 0.5
    assert right(*as_judged(of_real, of_fake, "relativistic")).item() == 1.0
    assert right(*as_judged(of_fake, of_real, "relativistic")).item() == 0.0


def test_relativistic_d_learns_from_the_difference_alone() -> None:
    critic = Discriminator(features=4, channels=3)
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    judged = Judged(pictures, pictures.flip(1), torch.zeros(()))
    teach(critic, {}, judged, "relativistic")
    bias = critic.head.bias.grad
    assert bias is not None
    assert bias.abs().max() < 1e-6  # a number added to every logit changes nothing
    teach(critic, {}, judged, "vanilla")
    assert critic.head.bias.grad.abs().max() > 1e-3


def test_held_out_clips_are_judged_by_one_picture_each() -> None:
    held_out = Clip("clip", panning(5, 64, 64, 0))
    sequences = validation_sequences(Library((), (held_out,), ()), "bd", frames=1)
    model = begin(TINY, Path("none"), None, CPU).model
    scores, outputs = validate(model, sequences, judge=lambda sequence, highs: len(highs) / 4)
    assert [output.shape for output in outputs] == [(1, 64, 64, 3)]
    assert scores.keys() == {"psnr", "critic_right_held_out"}
    assert np.isfinite(scores["psnr"])
    assert scores["critic_right_held_out"] == 0.25


def test_d_for_pictures_that_calls_all_real_gets_half_of_the_held_out_right() -> None:
    sequence = make_sequence("picture", panning(1, 64, 64, 0), "bd")
    model = begin(TINY, Path("none"), None, CPU).model
    critic = Discriminator(features=8, channels=3)
    critic.head.bias.data.fill_(1e4)
    highs = torch.zeros(1, 3, 64, 64)
    vanilla = TINY.override({"critic_kind": "vanilla"})
    assert critic_right(critic, model, vanilla, sequence, highs) == 0.5
    assert critic.training


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"frames": 2}, "frames is 2"),
        ({"ping_pong_weight": 0.5}, "ping_pong_weight"),
        ({"generator": "bicubic"}, "nothing to train"),
        ({"generator": "frvsr"}, "frvsr"),
        ({"critic_kind": "wgan"}, "critic_kind"),
        ({"critic_sees": "sky"}, "critic_sees"),
    ],
)
def test_recipe_that_pictures_cannot_follow_is_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PRESETS["srgan"].override(values)


def test_published_sizes_are_those_of_the_papers() -> None:
    srgan, esrgan = PRESETS["srgan"].model, PRESETS["esrgan"].model
    assert (srgan.generator, srgan.features, srgan.blocks) == ("srresnet", 64, 16)
    assert (esrgan.generator, esrgan.features, esrgan.growth, esrgan.blocks) == ("rrdb", 64, 32, 23)
    assert PRESETS["srcnn"].model.generator == "srcnn"


def test_clips_may_learn_by_beby_gans_losses_as_well() -> None:
    options = {
        "features": 8, "blocks": 1, "batch": 2, "frames": 5, "crop": 16, "vgg_weight": 0.0, "critic_start": 0,
        "best_buddy_weight": 1.0, "back_projection_weight": 1.0, "critic_sees": "textured",
        "critic_kind": "relativistic",
    }  # fmt: skip
    config = PRESETS["teco_lite"].override(options)
    learner = begin(config, Path("none"), None, CPU)
    clips = Library((Clip("clip", panning(5, 96, 96, 0)),), (), ())
    batch = Sampler(clips, config).batch(0, (2, 5, 16))
    flat = replace(batch, low=torch.full_like(batch.low, 0.5))
    found, judged = find_losses(learner.model, flat, config, critic=learner.critic)
    assert {"best_buddy", "back_projection", "ping_pong", "gan"} <= set(found)
    assert judged is not None
    assert judged.real.shape == (4, 27, 48, 48)  # two triplets of each clip
    assert judged.real.abs().max() == judged.fake.abs().max() == 0  # nothing of the input is textured
    found, judged = find_losses(learner.model, batch, config, critic=learner.critic)
    assert judged is not None
    assert judged.real.abs().max() > 0.1
    weighed_sum(found, config.losses).backward()
    assert learner.model.generator.conv_in.weight.grad.abs().max() > 0


def test_g_does_not_wait_for_a_d_that_is_not_there(tmp_path: Path) -> None:
    """The start of a perceptual recipe: --gan-weight 0 --vgg-weight 0."""
    tiny = {"features": 4, "blocks": 1, "batch": 1, "crop": 16, "iterations": 1, "precision": "fp32"}
    config = PRESETS["srgan"].override({**tiny, "gan_weight": 0.0, "vgg_weight": 0.0})
    assert config.critic.start > 1
    before = begin(config, tmp_path / "none", None, CPU).ema
    train(config, library(96), tmp_path, Limits())
    after = load_ema(tmp_path / "state")
    assert not torch.equal(after["generator.conv_first.weight"], before["generator.conv_first.weight"])
