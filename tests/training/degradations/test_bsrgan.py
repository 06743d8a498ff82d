"""The blind degradation: drawn as its ranges say, the same for the same seed, and nothing shifts."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.made import degraded, panning, textured
from training.degradations import bsrgan, codec
from training.degradations.bsrgan import FACTORS, apply_steps, draw_down, draw_order, draw_steps, drift
from training.degradations.codec import CodecMissingError, Compression, compress
from training.degradations.kernels import Blur, Decimate, Frames, Resize, gaussian_kernel
from training.degradations.noise import (
    BY_CHANNEL,
    GREY,
    GaussianNoise,
    Jpeg,
    correlated,
    from_levels,
    to_levels,
)
from training.degradations.sensor import SensorNoise, demosaic, draw_camera, mosaic


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def pyav() -> None:
    pytest.importorskip("av")  # the rest of these tests runs without it


@pytest.mark.usefixtures("pyav")
def test_low_clip_is_a_function_of_the_seed() -> None:
    target = panning(3, 64, 96, 0)
    one, same, other = (degraded(draw_steps, seed, target) for seed in (5, 5, 6))
    assert one.shape == (3, 16, 24, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_side_that_is_no_multiple_of_four_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="10x16"):
        apply_steps(rng, [], np.zeros((1, 16, 10, 3), np.uint8))


def test_every_order_occurs_and_downsampling_never_runs_backwards(rng: np.random.Generator) -> None:
    orders = {tuple(draw_order(rng)) for _ in range(30_000)}
    assert len(orders) == 2520  # 7! / 2
    assert all(set(order) == set(FACTORS) for order in orders)
    assert all(order.index("down") < order.index("down again") for order in orders)


def test_plans_hold_each_factor_as_often_as_the_paper_says(rng: np.random.Generator) -> None:
    all_steps = [draw_steps(rng, 4, 64, 64) for _ in range(600)]
    kinds = [[type(step) for step in steps] for steps in all_steps]
    assert all(kind.count(Blur) == 2 and kind.count(GaussianNoise) == 1 for kind in kinds)
    assert np.mean([SensorNoise in kind for kind in kinds]) == pytest.approx(0.25, abs=0.05)
    assert np.mean([Decimate in kind for kind in kinds]) == pytest.approx(0.2, abs=0.05)
    assert np.mean([Compression in kind[-1:] for kind in kinds]) == pytest.approx(0.6, abs=0.05)
    assert np.mean([kind.count(Jpeg) for kind in kinds]) == pytest.approx(0.75 + 0.6, abs=0.1)
    assert all(kind[-1] in (Jpeg, Compression) for kind in kinds)


def test_picture_ends_as_jpeg_and_so_does_a_clip_where_no_codec_is() -> None:
    for seed in range(30):
        with_codec, without = (
            draw_steps(np.random.default_rng(seed), 4, 64, 64, codec=codec) for codec in (True, False)
        )
        assert isinstance(without[-1], Jpeg)
        shared = len(without) - 1
        assert [type(step) for step in with_codec[:shared]] == [type(step) for step in without[:shared]]
        assert isinstance(draw_steps(np.random.default_rng(seed), 1, 64, 64)[-1], Jpeg)


def test_parameters_drift_on_a_line_inside_their_limits(rng: np.random.Generator) -> None:
    drawn = np.stack([drift(rng, (2.0, 6.0), 9) for _ in range(500)])
    assert drawn.min() >= 2
    assert drawn.max() <= 6
    assert np.abs(np.diff(drawn, 2)).max() < 1e-9
    assert np.abs(drawn[:, -1] - drawn[:, 0]).max() <= 0.3 * 4
    assert np.ptp(drawn, axis=1).mean() > 0.1
    assert drawn.mean() == pytest.approx(4, abs=0.2)


def test_anisotropic_blur_and_decimation_agree_with_loops_over_pixels() -> None:
    rng = np.random.default_rng(3)
    frame = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    sigmas, angle, width = np.array([2.1, 0.8]), 0.7, 1.3
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(rotation @ np.diag(sigmas**2) @ rotation.T)
    reach = 5
    kernel = np.zeros((11, 11))
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            kernel[y + reach, x + reach] = np.exp(-np.array([x, y]) @ inverse @ np.array([x, y]) / 2)
    kernel /= kernel.sum()
    padded = np.pad(frame / 255, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    blurred = np.zeros(frame.shape)
    for y in range(24):
        for x in range(20):
            blurred[y, x] = (padded[y : y + 11, x : x + 11] * kernel[..., None]).sum((0, 1))
    wide = np.pad(blurred, ((12, 12), (12, 12), (0, 0)), mode="reflect")
    low = np.zeros((6, 5, 3))
    for i in range(6):
        for j in range(5):  # around the centre of the block, 4i + 1.5, as far as 21 taps reach
            weights = np.array([np.exp(-((k - 1.5) ** 2) / (2 * width**2)) for k in range(-10, 11)])
            weights /= weights.sum()
            seen = wide[4 * i + 2 : 4 * i + 23, 4 * j + 2 : 4 * j + 23]
            low[i, j] = np.einsum("y,x,yxc->c", weights, weights, seen)
    steps = [Blur(11, sigmas[None], np.array([angle])), Decimate(4, np.array([width]))]
    found = apply_steps(rng, steps, frame[None])[0]
    assert np.abs(found - 255 * low).max() <= 1


def blob(height: int, width: int, y: float, x: float) -> NDArray[np.uint8]:
    """(1, H, W, 3): a bright spot with its centre there, wide enough for every way of sampling."""
    rows, columns = np.mgrid[:height, :width]
    spot = 20 + 200 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 5.0**2))
    return np.repeat(spot[None, ..., None], 3, 3).round().astype(np.uint8)


def centroid(low: NDArray[np.uint8]) -> tuple[float, float]:
    weights = np.maximum(low[0].mean(2) - 30.0, 0)
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return (weights * rows).sum() / weights.sum(), (weights * columns).sum() / weights.sum()


@pytest.mark.usefixtures("pyav")
@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("kind", bsrgan.DOWNS)
def test_nothing_shifts(kind: bsrgan.DownName, halved: bool) -> None:
    """Guards against samples at a block's corner, where enlarged frames would lie beside their targets."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        y, x = rng.uniform(44, 52, 2)
        first, second = draw_down(rng, kind, 2 if halved else 4, 1, (24, 26))
        halving = [Resize(48, 52, bsrgan.draw_interpolation(rng))] if halved else []
        steps = [
            *halving, bsrgan.draw_isotropic(rng, 4, 1), first, bsrgan.draw_anisotropic(rng, 2, 1),
            *([second] if second else []), Jpeg(np.array([95.0])), Compression("libx264", 10, "medium"),
        ]  # fmt: skip
        found = centroid(apply_steps(rng, steps, blob(96, 104, y, x)))
        assert found == pytest.approx(((y - 1.5) / 4, (x - 1.5) / 4), abs=0.1)


@pytest.mark.usefixtures("pyav")
def test_levels_and_colours_are_kept() -> None:
    target = np.full((2, 64, 64, 3), (180, 120, 70), np.uint8)
    target[:, :32] = (90, 140, 200)
    found = [degraded(draw_steps, seed, target, codec=seed % 3 == 0).mean((0, 1, 2)) for seed in range(60)]
    shift = np.array(found) - target.mean((0, 1, 2))
    assert np.abs(np.median(shift, 0)).max() < 1
    assert np.percentile(np.abs(shift), 90) < 5


@pytest.mark.parametrize("mixing", [GREY, BY_CHANNEL])
def test_noise_has_the_level_drawn_in_each_frame_and_is_fresh_there(
    mixing: NDArray[np.float32], rng: np.random.Generator
) -> None:
    grey = np.full((2, 64, 64, 3), 0.5, np.float32)
    noise = GaussianNoise(np.array([0.02, 0.05]), mixing).apply(rng, grey) - 0.5
    assert noise.std((1, 2, 3)) == pytest.approx([0.02, 0.05], rel=0.05)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05
    between_channels = np.corrcoef(noise[0].reshape(-1, 3).T)[0, 1]
    assert between_channels == pytest.approx(1 if mixing is GREY else 0, abs=0.06)


def test_correlated_noise_has_the_covariance_of_its_mixing(rng: np.random.Generator) -> None:
    mixing = correlated(rng)
    noise = GaussianNoise(np.array([0.1]), mixing).apply(rng, np.zeros((1, 128, 128, 3), np.float32))
    assert np.cov(noise.reshape(-1, 3).T) / 0.01 == pytest.approx(mixing @ mixing.T, abs=0.05)
    assert np.linalg.eigvalsh(mixing @ mixing.T).max() <= 1


def test_jpeg_loses_more_at_lower_quality(rng: np.random.Generator) -> None:
    frame = from_levels(textured(64, 64, 0)[None])
    fine, coarse = (np.abs(Jpeg(np.array([q])).apply(rng, frame) - frame).mean() for q in (95.0, 30.0))
    assert 0 < fine < coarse / 2


def test_quiet_camera_returns_the_picture_and_a_noisy_one_its_levels(rng: np.random.Generator) -> None:
    shade = cv2.resize(
        rng.integers(60, 200, (6, 6), dtype=np.uint8), (96, 96), interpolation=cv2.INTER_LINEAR
    )
    smooth = np.stack([shade, shade // 2 + 40, 220 - shade // 2], -1)
    frames = np.repeat(from_levels(smooth[None]), 2, 0)
    camera = draw_camera(rng)
    quiet = SensorNoise(*camera, np.zeros(2), np.zeros(2)).apply(rng, frames)
    assert np.abs(quiet - frames).mean() < 1 / 255
    assert np.percentile(np.abs(quiet - frames), 99) < 4 / 255  # ridges of the shade lose most
    noisy = SensorNoise(*camera, np.array([1e-3, 1e-2]), np.array([1e-6, 1e-4])).apply(rng, frames)
    shifts = np.abs((noisy - frames).mean((1, 2))).max(1)
    assert shifts[0] < 2 / 255
    assert shifts[1] < 6 / 255  # gamma bends strong noise downwards
    spread = (noisy - frames).std((1, 2, 3))
    assert 2 / 255 < spread[0] < spread[1] < 50 / 255


def test_demosaicing_returns_flat_colours_and_slopes(rng: np.random.Generator) -> None:
    rows, columns = np.mgrid[:17, :18].astype(np.float32)
    slope = 0.3 + 0.01 * rows + 0.02 * columns
    frames: Frames = np.stack([slope, np.full_like(slope, 0.5), 0.9 - slope], -1)[None]
    assert demosaic(mosaic(frames))[:, 2:-2, 2:-2] == pytest.approx(frames[:, 2:-2, 2:-2], abs=1e-5)


def test_demosaicing_makes_little_colour_from_grey_detail() -> None:
    grey: Frames = from_levels(textured(64, 64, 1)[None, ..., :1]).repeat(3, -1)
    found = demosaic(mosaic(grey))
    assert np.ptp(found, axis=-1).mean() < 0.5 * np.abs(np.diff(grey, axis=2)).mean()


@pytest.mark.usefixtures("pyav")
@pytest.mark.parametrize("name", ["libx264", "libx265"])
def test_codec_loses_more_at_higher_crf_and_keeps_the_shape(name: codec.CodecName) -> None:
    frames = panning(4, 45, 51, 0)
    errors = []
    for crf in (10, 28, 40):
        found = compress(frames, name, crf=crf, preset="ultrafast")
        assert found.shape == frames.shape
        errors.append(np.abs(found.astype(int) - frames).mean())
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.usefixtures("pyav")
@pytest.mark.parametrize(("name", "preset"), [(n, p) for n, ps in codec.SAFE_PRESETS.items() for p in ps])
def test_codec_gives_the_same_frames_whatever_memory_held_before(name: codec.CodecName, preset: str) -> None:
    """Guards against settings under which the encoders read memory that they never wrote."""
    frames = panning(6, 40, 48, 0)
    found = []
    for seed in range(4):
        litter = [np.random.default_rng(seed).bytes(size) for size in (300, 1500, 5000, 20_000, 90_000)]
        del litter
        found.append(compress(frames, name, crf=26, preset=preset))
    assert all(np.array_equal(found[0], other) for other in found)


def test_unsafe_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="medium"):
        compress(np.zeros((2, 16, 16, 3), np.uint8), "libx265", crf=28, preset="medium")


def test_absent_pyav_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "codec_missing", lambda: True)
    with pytest.raises(CodecMissingError, match="PyAV"):
        compress(np.zeros((2, 16, 16, 3), np.uint8), "libx264", crf=28, preset="medium")


def test_narrow_kernels_are_an_impulse_and_all_weigh_to_one() -> None:
    narrow = gaussian_kernel(7, np.array([0.1, 0.1]), 0.0)
    assert narrow[3, 3] == pytest.approx(1)
    assert gaussian_kernel(21, np.array([2.8, 0.7]), 1.0).sum() == pytest.approx(1)


def test_levels_survive_the_way_to_float_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    assert np.array_equal(to_levels(from_levels(levels)), levels)
