"""Blur and downsampling of clips: the geometric factors of the blind degradation.

Each is a frozen record with `apply(rng, frames)`, frames (T, H, W, 3) float32 in [0, 1]; a parameter that may
drift is an array of one value a frame. One law binds all downsampling here but Pick: the centre of a low
pixel is the centre of its block, so nothing shifts. Not here: noise (noise.py, sensor.py) and the drawing
(bsrgan.py, uploads.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Frames = NDArray[np.float32]
Pixel = TypeVar("Pixel", np.float32, np.uint8)
InterpolationName = Literal["bilinear", "bicubic", "area"]

INTERPOLATIONS: Final = {
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
DECIMATION_TAPS: Final = 21  # BSRGAN, section 3.2: the kernel before nearest downsampling is 21x21


@dataclass(frozen=True, slots=True, eq=False)
class Blur:
    """A Gaussian of `size` taps a side: deviations (T, 2) along its axes, angles (T,) in radians."""

    size: int
    deviations: NDArray[np.float64]
    angles: NDArray[np.float64]

    def apply(self, _: Generator, frames: Frames) -> Frames:
        kernels = [
            gaussian_kernel(self.size, pair, angle)
            for pair, angle in zip(self.deviations, self.angles, strict=True)
        ]
        return _each(
            lambda t, frame: cv2.filter2D(frame, -1, kernels[t], borderType=cv2.BORDER_REFLECT_101), frames
        )


@dataclass(frozen=True, slots=True, eq=False)
class Decimate:
    """Every `factor`-th pixel after a Gaussian, of deviations (T,), that is centred on the block.

    The paper moves a centred kernel by linear interpolation; sampling the moved Gaussian itself is exact.
    """

    factor: int
    deviations: NDArray[np.float64]

    def apply(self, _: Generator, frames: Frames) -> Frames:
        positions = np.arange(DECIMATION_TAPS, dtype=np.float64) - DECIMATION_TAPS // 2
        positions -= (self.factor - 1) / 2
        taps = [gaussian(positions, deviation) for deviation in self.deviations]
        return _each(
            lambda t, frame: cv2.sepFilter2D(frame, -1, taps[t], taps[t], borderType=cv2.BORDER_REFLECT_101)[
                :: self.factor, :: self.factor
            ],
            frames,
        )


@dataclass(frozen=True, slots=True)
class Resize:
    """To that size; OpenCV keeps the centre of the picture in its place for each of INTERPOLATIONS."""

    height: int
    width: int
    interpolation: InterpolationName

    def apply(self, _: Generator, frames: Frames) -> Frames:
        size, how = (self.width, self.height), INTERPOLATIONS[self.interpolation]
        return _each(lambda _, frame: cv2.resize(frame, size, interpolation=how), frames)


@dataclass(frozen=True, slots=True)
class Pick:
    """Every `factor`-th pixel as it is, which moves the picture: see `pick`."""

    factor: int

    def apply(self, _: Generator, frames: Frames) -> Frames:
        return pick(frames, self.factor)


def pick(frames: NDArray[Pixel], factor: int) -> NDArray[Pixel]:
    """(T, H, W, 3) -> (T, H/factor, W/factor, 3) as Pillow's nearest makes it.

    It takes the pixel at `factor // 2` of each block, half a pixel past the centre where the factor is even.
    """
    return np.ascontiguousarray(frames[:, factor // 2 :: factor, factor // 2 :: factor])


def gaussian_kernel(size: int, deviations: NDArray[np.float64], angle: float) -> NDArray[np.float32]:
    """(size, size), sum 1: a Gaussian of those deviations, the first along `angle` from the x axis."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    exponent = (along / deviations[0]) ** 2 + (across / deviations[1]) ** 2
    weights = np.exp((exponent.min() - exponent) / 2)
    return np.asarray(weights / weights.sum(), np.float32)


def gaussian(positions: NDArray[np.float64], deviation: float) -> NDArray[np.float32]:
    """Weights at those positions, sum 1; the narrowest is shared by the positions nearest to 0."""
    exponent = (positions / deviation) ** 2
    weights = np.exp((exponent.min() - exponent) / 2)
    return np.asarray(weights / weights.sum(), np.float32)


def _each(make: Callable[[int, Frames], NDArray[np.generic]], frames: Frames) -> Frames:
    return np.stack([make(t, frame) for t, frame in enumerate(frames)]).astype(np.float32, copy=False)
