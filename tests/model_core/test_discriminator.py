import torch

from model_core.discriminator import CHANNELS, Discriminator, triplet_stack
from model_core.warping import bicubic4


def test_a_still_scene_is_moved_onto_itself() -> None:
    low = torch.rand(2, 1, 3, 12, 12).expand(2, 3, 3, 12, 12)
    high = torch.rand(2, 1, 3, 48, 48).expand(2, 3, 3, 48, 48)
    still = torch.zeros(2, 2, 12, 12)
    stack = triplet_stack(high, low, still, still, border=8)
    assert stack.shape == (2, CHANNELS, 32, 32)
    inputs, frames, moved = stack.split(9, dim=1)
    torch.testing.assert_close(frames, moved, atol=2e-5, rtol=0)
    torch.testing.assert_close(inputs[:, :3], bicubic4(low[:, 0])[..., 8:-8, 8:-8])


def test_frames_before_and_after_are_moved_onto_the_middle_one() -> None:
    scene = torch.rand(1, 3, 32, 48)
    high = torch.stack(
        [torch.roll(scene, 4 * t, 3) for t in range(3)], dim=1
    )  # 4 high px to the right a frame
    low = torch.rand(1, 3, 3, 8, 12)
    back = torch.tensor([-1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 8, 12)
    moved = triplet_stack(high, low, back, -back, border=8)[:, 18:]
    before, middle, after = moved.split(3, dim=1)
    torch.testing.assert_close(before, middle, atol=1e-4, rtol=0)
    torch.testing.assert_close(after, middle, atol=1e-4, rtol=0)


def test_one_logit_for_each_patch_of_any_crop() -> None:
    logits, features = Discriminator(8)(torch.rand(2, CHANNELS, 64, 96))
    assert logits.shape == (2, 1, 4, 6)
    assert [f.shape[1] for f in features] == [8, 8, 16, 32]


def test_small_differences_survive_all_layers() -> None:
    """Normalised layers pass on less than they get; five of them once left nothing to judge by."""
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    real = torch.rand(2, CHANNELS, 64, 64, generator=random)
    fake = (real + 0.05 * torch.randn(real.shape, generator=random)).clamp(0, 1)
    judge = Discriminator()
    with torch.no_grad():
        for _ in range(10):  # until the norms are found
            judge(real)
        _, of_real = judge(real)
        _, of_fake = judge(fake)
    for a, b in zip(of_real, of_fake, strict=True):
        assert a.std() > 0.1
        assert (a - b).abs().mean() > 0.02 * a.abs().mean()
