import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.warping import bicubic4, pad_to_multiple, space_to_depth, upsample_flow, warp

sides = st.integers(1, 23)


@given(sides, sides)
@settings(max_examples=30, deadline=None)
def test_zero_flow_warps_to_the_identity(height: int, width: int) -> None:
    image = torch.rand(2, 3, height, width)
    torch.testing.assert_close(warp(image, torch.zeros(2, 2, height, width)), image, atol=2e-5, rtol=0)


def test_flow_points_from_the_current_frame_to_the_previous_one() -> None:
    previous = torch.rand(1, 3, 12, 16)
    frame = torch.roll(previous, (2, 3), (2, 3))  # every pixel moved 2 down and 3 to the right
    flow = torch.tensor([-3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 12, 16)
    torch.testing.assert_close(warp(previous, flow)[..., 2:, 3:], frame[..., 2:, 3:], atol=1e-5, rtol=0)


def test_a_sample_outside_the_frame_repeats_the_border() -> None:
    image = torch.rand(1, 3, 8, 8)
    far = torch.full((1, 2, 8, 8), 100.0)
    torch.testing.assert_close(warp(image, far), image[..., -1:, -1:].expand_as(image), atol=1e-5, rtol=0)


def test_enlarging_shifts_nothing() -> None:
    """A shift of half a pixel would break the mirror symmetry."""
    low = torch.rand(1, 3, 9, 11)
    flow = torch.rand(1, 2, 9, 11)
    for enlarge, image in ((bicubic4, low), (upsample_flow, flow)):
        torch.testing.assert_close(enlarge(image.flip(2, 3)), enlarge(image).flip(2, 3), atol=1e-5, rtol=0)


def test_a_flow_enlarged_is_measured_in_high_resolution_pixels() -> None:
    assert upsample_flow(torch.full((1, 2, 3, 3), 1.5)).unique().item() == 6.0


@given(st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_depth_to_space_undoes_space_to_depth(height: int, width: int) -> None:
    high = torch.rand(2, 3, 4 * height, 4 * width)
    assert torch.equal(F.pixel_shuffle(space_to_depth(high), 4), high)


@given(sides, sides, st.sampled_from([4, 8]))
@settings(max_examples=30, deadline=None)
def test_padding_keeps_the_origin_and_repeats_the_border(height: int, width: int, multiple: int) -> None:
    image = torch.rand(1, 3, height, width)
    padded = pad_to_multiple(image, multiple)
    assert padded.shape[-2] % multiple == padded.shape[-1] % multiple == 0
    assert torch.equal(padded[..., :height, :width], image)
    assert torch.equal(padded[..., -1, -1], image[..., -1, -1])
