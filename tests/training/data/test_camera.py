"""Camera paths: the motion they claim is the motion one sees."""

import numpy as np
import torch

from model_core.pixels import to_float
from model_core.warping import upsample_flow, warp
from tests.training.made import textured
from training.data.camera import Path, draw_path, render, render_two_layers, true_flow


def pan(step: tuple[float, float], frames: int = 3, side: int = 64) -> Path:
    pose = np.array([[1.0, 0, 20], [0, 1, 20]])
    shift = np.array([[0, 0, step[0]], [0, 0, step[1]]])
    return Path(np.stack([pose + t * shift for t in range(frames)]), side, side)


def test_pan_gives_a_constant_flow_in_low_pixels() -> None:
    flow = true_flow(pan((4.0, -2.0)))
    assert flow.shape == (2, 2, 16, 16)
    # The camera moves right, so a pixel was further right in the frame before: by 4 high pixels, 1 low one.
    assert np.allclose(flow[:, 0], 1.0)
    assert np.allclose(flow[:, 1], -0.5)


def test_frame_before_moved_by_the_true_flow_is_the_frame() -> None:
    photo = textured(160, 160, 0)
    path = draw_path(np.random.default_rng(3), frames=4, height=96, width=96, photo=(160, 160))
    frames = to_float(torch.from_numpy(render(photo, path)))
    flow_high = upsample_flow(torch.from_numpy(true_flow(path)))
    inside = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    moved = (warp(frames[:-1], flow_high) - frames[1:])[inside].abs().mean()
    still = (frames[:-1] - frames[1:])[inside].abs().mean()
    assert moved < 0.35 * still


def test_equal_seeds_draw_equal_paths() -> None:
    one, two = (
        draw_path(np.random.default_rng(5), frames=6, height=64, width=64, photo=(99, 120)) for _ in range(2)
    )
    assert np.array_equal(one.poses, two.poses)


def test_two_layers_move_as_their_flow_says_but_for_the_edges() -> None:
    photos = (textured(200, 200, 0), textured(200, 200, 1))
    rendered, flow = render_two_layers(np.random.default_rng(3), photos, 3, 128)
    frames = to_float(torch.from_numpy(rendered))
    error = (warp(frames[:-1], upsample_flow(torch.from_numpy(flow))) - frames[1:]).abs()[..., 16:-16, 16:-16]
    still = (frames[:-1] - frames[1:]).abs()[..., 16:-16, 16:-16]
    assert error.median() < 0.25 * still.median()
    assert np.ptp(flow[0, 0]) > 0.3, "the layers move differently"
