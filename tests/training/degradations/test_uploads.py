"""The lighter half of the blind degradation: which steps it has, and that they spare the picture."""

import numpy as np
import pytest

from tests.training.made import degraded, panning
from training.degradations.codec import Compression
from training.degradations.kernels import Decimate, Pick
from training.degradations.noise import GaussianNoise, Jpeg
from training.degradations.uploads import HARSH_SHARE, draw_light_steps, draw_steps

DRAWS = 300
TARGET = panning(3, 24, 32, 0).repeat(4, 1).repeat(4, 2)


def test_light_plan_is_one_downscale_and_at_most_noise_and_one_compression() -> None:
    rng = np.random.default_rng(0)
    all_steps = [[type(step) for step in draw_light_steps(rng, 4, 64, 64)] for _ in range(600)]
    assert all(
        steps[1:] in ([], [GaussianNoise], [steps[-1]], [GaussianNoise, steps[-1]]) for steps in all_steps
    )
    assert np.mean([steps[0] is Decimate for steps in all_steps]) == pytest.approx(0.4, abs=0.06)
    assert np.mean([steps[0] is Pick for steps in all_steps]) == pytest.approx(0.4, abs=0.05)
    assert np.mean([GaussianNoise in steps for steps in all_steps]) == pytest.approx(0.4, abs=0.06)
    assert np.mean([Compression in steps for steps in all_steps]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([Jpeg in steps for steps in all_steps]) == pytest.approx(0.1, abs=0.05)


def test_picture_and_clip_without_codec_end_as_jpeg_where_a_video_would_be_compressed() -> None:
    for frames, codec in ((1, True), (4, False)):
        rng = np.random.default_rng(0)
        all_steps = [draw_light_steps(rng, frames, 64, 64, codec=codec) for _ in range(200)]
        assert not any(isinstance(step, Compression) for steps in all_steps for step in steps)
        assert np.mean([isinstance(steps[-1], Jpeg) for steps in all_steps]) == pytest.approx(0.6, abs=0.08)


def test_most_uploads_are_nearer_to_the_clip_than_bsrgans() -> None:
    plain = TARGET.reshape(3, 24, 4, 32, 4, 3).mean((2, 4))
    lows = [degraded(draw_steps, seed, TARGET, codec=False) for seed in range(DRAWS)]
    assert {low.shape for low in lows} == {(3, 24, 32, 3)}
    far = np.array([np.abs(low - plain).mean() for low in lows])
    light = np.array([np.random.default_rng(seed).uniform() >= HARSH_SHARE for seed in range(DRAWS)])
    assert 0.75 < light.mean() < 0.95
    assert np.median(far[light]) < 0.8 * np.median(far[~light])


def test_upload_is_a_function_of_the_seed() -> None:
    pytest.importorskip("av")
    one, same, other = (degraded(draw_steps, seed, TARGET) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
