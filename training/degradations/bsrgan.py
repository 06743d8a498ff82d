"""The blind degradation of BSRGAN for clips: factors drawn from wide ranges, in a shuffled order.

`draw_steps` decides everything but the noise itself, `apply_steps` makes the low frames: pure
functions of the generator and the clip. The factors are records in kernels.py, noise.py, sensor.py and
codec.py. Source: Zhang et al. 2021, "Designing a Practical Degradation Model for Deep Blind Image Super-
Resolution" (arXiv:2103.14006), section 3; the authors' utils_blindsr.py where the paper leaves a choice.

Added for video: the paper's parameters drift over a clip, and where the paper ends with a JPEG, a clip may
end with x264 or x265 instead, or with both. A JPEG takes a codec's place where the caller says that there
is none.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model_core.config import SCALE
from training.degradations.codec import SAFE_PRESETS, CodecName, Compression
from training.degradations.kernels import Blur, Decimate, Frames, InterpolationName, Resize
from training.degradations.noise import (
    BY_CHANNEL,
    GREY,
    GaussianNoise,
    Jpeg,
    correlated,
    from_levels,
    to_levels,
)
from training.degradations.sensor import SHOT, SensorNoise, draw_camera, draw_read

# Ranges of the paper. Keys are the scale that is left: 2 where the picture was halved before the shuffle.
HALVED_FIRST: Final = 0.25
BLUR_SIZES: Final = range(7, 22, 2)
ISOTROPIC_DEVIATION: Final = {2: (0.1, 2.4), 4: (0.1, 2.8)}
ANISOTROPIC_VARIANCE: Final = {2: (0.5, 6.0), 4: (0.5, 8.0)}  # of each axis, as the authors' code reads it
DECIMATION_DEVIATION: Final = (0.1, 0.6)  # per unit of the scale
DOWN_UP_PART: Final = 0.5  # down-up passes through a size between this part of the final one and the whole
NOISE_LEVEL: Final = (1 / 255, 25 / 255)
NOISE_KINDS: Final = {"correlated": 0.2, "by channel": 0.4, "grey": 0.4}
JPEG_QUALITY: Final = (30.0, 95.0)
JPEG_SHARE: Final = 0.75
SENSOR_SHARE: Final = 0.25

# Ours.
DRIFT_MAX: Final = 0.3  # of the way from one draw to another, from the first frame to the last
ENDS: Final = {"jpeg": 0.4, "codec": 0.4, "both": 0.2}
CODECS: Final[dict[CodecName, float]] = {"libx264": 0.75, "libx265": 0.25}
CRFS: Final[dict[CodecName, range]] = {"libx264": range(18, 36), "libx265": range(20, 38)}

FactorName = Literal["isotropic", "anisotropic", "down", "down again", "noise", "jpeg", "sensor"]
FACTORS: Final[tuple[FactorName, ...]] = (
    "isotropic", "anisotropic", "down", "down again", "noise", "jpeg", "sensor",
)  # fmt: skip
DownName = Literal["nearest", "bilinear", "bicubic", "area", "down-up"]
DOWNS: Final[tuple[DownName, ...]] = ("nearest", "bilinear", "bicubic", "area", "down-up")  # equally likely


Name = TypeVar("Name", bound=str)


class Step(Protocol):
    def apply(self, rng: Generator, frames: Frames) -> Frames: ...


def apply_steps(rng: Generator, steps: Sequence[Step], target: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 RGB -> (T, H/4, W/4, 3). Compression needs PyAV (CodecMissingError)."""
    height, width = target.shape[1:3]
    if height % SCALE or width % SCALE:
        raise ValueError(f"{width}x{height} is not a multiple of {SCALE} on both sides")
    low = from_levels(target)
    for step in steps:
        low = step.apply(rng, low).clip(0, 1)
    return to_levels(low)


def draw_steps(rng: Generator, frames: int, height: int, width: int, *, codec: bool = True) -> list[Step]:
    """The steps for a clip of that shape. Without `codec` the other steps stay what they are with it."""
    steps: list[Step] = []
    scale = SCALE
    if rng.uniform() < HALVED_FIRST:
        scale = SCALE // 2
        steps.append(Resize(height // 2, width // 2, draw_interpolation(rng)))
    small = height // SCALE, width // SCALE
    factors: dict[FactorName, Step | None] = {
        "isotropic": draw_isotropic(rng, scale, frames),
        "anisotropic": draw_anisotropic(rng, scale, frames),
        "noise": draw_noise(rng, frames),
        "jpeg": draw_jpeg(rng, frames) if rng.uniform() < JPEG_SHARE else None,
        "sensor": draw_sensor(rng, frames) if rng.uniform() < SENSOR_SHARE else None,
    }
    kind = DOWNS[rng.integers(len(DOWNS))]
    factors["down"], factors["down again"] = draw_down(rng, kind, scale, frames, small)
    steps += [step for name in draw_order(rng) if (step := factors[name]) is not None]
    return steps + draw_end(rng, frames, codec=codec)


def draw_order(rng: Generator) -> list[FactorName]:
    """Any order of FACTORS in which the second part of downsampling comes after the first."""
    order = [FACTORS[i] for i in rng.permutation(len(FACTORS))]
    first, second = sorted((order.index("down"), order.index("down again")))
    order[first], order[second] = "down", "down again"
    return order


def draw_isotropic(rng: Generator, scale: int, frames: int) -> Blur:
    deviation = drift(rng, ISOTROPIC_DEVIATION[scale], frames)
    return Blur(_draw_size(rng), np.stack([deviation, deviation], 1), np.zeros(frames))


def draw_anisotropic(rng: Generator, scale: int, frames: int) -> Blur:
    variances = [drift(rng, ANISOTROPIC_VARIANCE[scale], frames) for _ in range(2)]
    return Blur(_draw_size(rng), np.sqrt(np.stack(variances, 1)), drift(rng, (0, np.pi), frames))


def draw_down(
    rng: Generator, kind: DownName, scale: int, frames: int, small: tuple[int, int]
) -> tuple[Step, Step | None]:
    """Downsampling by `scale` to the size `small`, in one step or in two."""
    if kind == "nearest":
        low, high = DECIMATION_DEVIATION
        return Decimate(scale, drift(rng, (low, high * scale), frames)), None
    if kind != "down-up":
        return Resize(*small, kind), None
    part = rng.uniform(DOWN_UP_PART, scale)  # 1 is the final size, `scale` that before
    first, second = draw_interpolation(rng), draw_interpolation(rng)
    height, width = (max(1, round(side * part)) for side in small)
    return Resize(height, width, first), Resize(*small, second)


def draw_noise(rng: Generator, frames: int) -> GaussianNoise:
    kind = choose(rng, NOISE_KINDS)
    mixing = correlated(rng) if kind == "correlated" else GREY if kind == "grey" else BY_CHANNEL
    return GaussianNoise(drift(rng, NOISE_LEVEL, frames), mixing)


def draw_jpeg(rng: Generator, frames: int) -> Jpeg:
    return Jpeg(drift(rng, JPEG_QUALITY, frames))


def draw_sensor(rng: Generator, frames: int) -> SensorNoise:
    gains, colours = draw_camera(rng)
    shots = np.exp(drift(rng, (np.log(SHOT[0]), np.log(SHOT[1])), frames))
    return SensorNoise(gains, colours, shots, draw_read(rng, shots))


def draw_end(rng: Generator, frames: int, *, codec: bool) -> list[Step]:
    """What the finished frames are stored as: pictures, a video, or a video made of pictures."""
    end, jpeg, compression = choose(rng, ENDS), draw_jpeg(rng, frames), draw_compression(rng, CRFS)
    if end == "jpeg" or frames == 1 or not codec:
        return [jpeg]
    return [compression] if end == "codec" else [jpeg, compression]


def draw_compression(rng: Generator, crfs: Mapping[CodecName, range]) -> Compression:
    name = choose(rng, CODECS)
    presets = SAFE_PRESETS[name]
    return Compression(name, int(rng.choice(crfs[name])), presets[rng.integers(len(presets))])


def draw_interpolation(rng: Generator) -> InterpolationName:
    names: tuple[InterpolationName, ...] = ("bilinear", "bicubic", "area")
    return names[rng.integers(len(names))]


def drift(rng: Generator, limits: tuple[float, float], frames: int) -> NDArray[np.float64]:
    """(T,) values on a line inside the limits: from one draw part of the way to another."""
    start, other = rng.uniform(*limits, 2)
    return np.linspace(start, start + DRIFT_MAX * rng.uniform() * (other - start), frames)


def _draw_size(rng: Generator) -> int:
    return int(rng.choice(BLUR_SIZES))


def choose(rng: Generator, shares: dict[Name, float]) -> Name:
    return list(shares)[rng.choice(len(shares), p=list(shares.values()))]
