"""What people upload: mostly made small once, at times a little noisy, and compressed once.

BSRGAN's ranges (bsrgan.py) are wide on purpose: few of its draws leave a clip as good as a phone's or a
site's, and a model that saw those alone smooths what was clean. So most clips are degraded lightly.
The factors are the same records, drawn from narrower ranges and in the order in which a camera and a site
apply them.
"""

from typing import Final, Literal

from numpy.random import Generator

from model_core.config import SCALE
from training.degradations import bsrgan
from training.degradations.bsrgan import Step, choose, draw_compression, drift
from training.degradations.codec import CodecName
from training.degradations.kernels import Decimate, Pick, Resize
from training.degradations.noise import BY_CHANNEL, GREY, GaussianNoise, Jpeg

DownName = Literal["gaussian", "area", "bicubic", "nearest"]

HARSH_SHARE: Final = 0.15
NOISY_SHARE: Final = 0.4
DECIMATION_DEVIATION: Final = (0.1, 2.0)  # high-resolution pixels; the `bd` protocol has 1.5
NOISE_LEVEL: Final = (1 / 255, 12 / 255)
JPEG_QUALITY: Final = (60.0, 95.0)
DOWNS: Final[dict[DownName, float]] = {"gaussian": 0.4, "area": 0.1, "bicubic": 0.1, "nearest": 0.4}
ENDS: Final = {"nothing": 0.4, "jpeg": 0.1, "codec": 0.5}
CRFS: Final[dict[CodecName, range]] = {"libx264": range(20, 33), "libx265": range(22, 35)}


def draw_steps(rng: Generator, frames: int, height: int, width: int, *, codec: bool = True) -> list[Step]:
    """The steps for a clip of that shape: HARSH_SHARE of the clips as BSRGAN, the others lightly."""
    draw = bsrgan.draw_steps if rng.uniform() < HARSH_SHARE else draw_light_steps
    return draw(rng, frames, height, width, codec=codec)


def draw_light_steps(
    rng: Generator, frames: int, height: int, width: int, *, codec: bool = True
) -> list[Step]:
    """One downscale, noise or none, one compression or none. Without `codec` a JPEG takes its place."""
    steps = [draw_down(rng, frames, height, width)]
    if rng.uniform() < NOISY_SHARE:
        steps.append(
            GaussianNoise(drift(rng, NOISE_LEVEL, frames), GREY if rng.uniform() < 0.5 else BY_CHANNEL)
        )
    end, jpeg = choose(rng, ENDS), Jpeg(drift(rng, JPEG_QUALITY, frames))
    compression = draw_compression(rng, CRFS)
    if end == "codec" and codec and frames > 1:
        return [*steps, compression]
    return steps if end == "nothing" else [*steps, jpeg]


def draw_down(rng: Generator, frames: int, height: int, width: int) -> Step:
    """A Gaussian of drawn width before every fourth pixel is taken, or what a tool for pictures does."""
    match choose(rng, DOWNS):
        case "gaussian":
            return Decimate(SCALE, drift(rng, DECIMATION_DEVIATION, frames))
        case "nearest":
            return Pick(SCALE)
        case "area" | "bicubic" as how:
            return Resize(height // SCALE, width // SCALE, how)
