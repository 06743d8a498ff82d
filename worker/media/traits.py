"""Traits: what compression, noise and scaling left in an input's pixels; what `model=auto` goes by.

Each is a number of one plane of luma, told without knowing the original. A few frames, evenly spread, speak
for a video, and the middle of each for a large frame. Not here: what a stream says of itself
(reading/coding.py), what follows from both (service/auto.py).
Start at `Meter` and `measure`.
"""

import math
from statistics import median
from typing import Final

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from service.auto import Pixels, Traits
from worker.frames import Planes, in_bytes

SIDE_MAX: Final = 512  # of what is looked at of a frame, from its middle
_GRID: Final = 8  # pixels between the borders of blocks in JPEG, MPEG and most of H.264
_SIDE_MIN: Final = 3 * _GRID
_CONTRAST_MIN: Final = 2.0  # levels of deviation; what shows less, such as black, tells nothing
_PATCH: Final = 5  # pixels a side
_PATCHES: Final = 16_384  # at most, or hardly more
_QUIET_PART: Final = 0.25  # of the patches: those with the least of their own show the noise
_TEXTURE_PART: Final = 0.2  # of a picture's median eigenvalue that its smallest has, without any noise
_DARK, _BRIGHT = 8, 247  # beyond, noise is cut off
_KEPT: Final = 8  # frames that speak for all, at least, where there are so many
_THIN: Final = 3  # an odd number, as codecs let every second or fourth frame be worse than the others


def measure(luma: NDArray[np.uint8]) -> Pixels | None:
    """Of one plane (h, w); None where it is too small or too plain to tell."""
    plane = luma[_middle(*luma.shape)].astype(np.float32)
    if min(plane.shape) < _SIDE_MIN or float(plane.std()) < _CONTRAST_MIN:
        return None
    return Pixels(noise=_noise(plane), blockiness=_blockiness(plane), sharpness=_sharpness(plane))


def traits_of(rgb: Planes) -> Traits | None:
    """Of one picture (h, w, 3), by its pixels alone."""
    middle = in_bytes(rgb[_middle(*rgb.shape[:2])])
    return traits(measure(np.asarray(cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY), np.uint8)))


class Meter:
    """Takes all frames in display order; `finish` says what they are like."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._count, self._stride = 0, 1
        self._kept: list[Pixels | None] = []

    def add(self, picture: av.VideoFrame) -> None:
        self._count += 1
        if (self._count - 1) % self._stride:
            return
        grey = self._reformatter.reformat(picture, format="gray", threads=1).to_ndarray()
        self._kept.append(measure(grey.astype(np.uint8, copy=False)))
        if len(self._kept) == _KEPT * _THIN:
            self._kept = self._kept[::_THIN]
            self._stride *= _THIN

    def finish(self) -> Pixels | None:
        """Medians over those frames that tell; None if none does."""
        seen = [pixels for pixels in self._kept if pixels is not None]
        if not seen:
            return None
        return Pixels(
            noise=median(each.noise for each in seen),
            blockiness=median(each.blockiness for each in seen),
            sharpness=median(each.sharpness for each in seen),
        )


def traits(
    pixels: Pixels | None, quantiser: float | None = None, bits_per_pixel: float | None = None
) -> Traits | None:
    if pixels is None:
        return None
    return Traits(pixels=pixels, quantiser=quantiser, bits_per_pixel=bits_per_pixel)


def _middle(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns, from where blocks begin."""
    top, left = ((side - min(side, SIDE_MAX)) // 2 // _GRID * _GRID for side in (height, width))
    return slice(top, top + SIDE_MAX), slice(left, left + SIDE_MAX)


def _noise(plane: NDArray[np.float32]) -> float:
    """Deviation of white noise in levels, from the quietest patches.

    Patches are vectors: noise spreads them alike along every axis, a picture along some more than others. So
    the smallest eigenvalue of their covariance is the noise's variance, and what a picture has even there.
    Source: Chen, Zhu and Heng 2015, "An Efficient Statistical Method for Image Noise Level Estimation". Its
    loop over all eigenvalues takes fine texture for noise; here their median says how much of that there is.
    """
    step = max(1, math.isqrt(plane.size // _PATCHES))
    windows = np.lib.stride_tricks.sliding_window_view(plane, (_PATCH, _PATCH))[::step, ::step]
    levels = windows.mean((2, 3), keepdims=True)
    patches = (windows - levels).reshape(-1, _PATCH**2)
    is_whole = ((levels > _DARK) & (levels < _BRIGHT)).reshape(-1)
    if is_whole.sum() < _PATCH**2:
        return 0.0
    patches = patches[is_whole]
    own = np.square(patches).mean(1)
    quiet = patches[own <= np.quantile(own, _QUIET_PART)]
    spread = np.linalg.eigvalsh(quiet.T @ quiet / len(quiet))[1:]  # the mean's own axis has none
    variance = (spread[0] - _TEXTURE_PART * np.median(spread)) / (1 - _TEXTURE_PART)
    return math.sqrt(max(0.0, float(variance)))


def _blockiness(plane: NDArray[np.float32]) -> float:
    """How much larger steps between neighbours are where blocks meet than within them, as a part of these."""
    at_borders, within = 0.0, 0.0
    for turned in (plane, plane.T):
        steps = np.abs(np.diff(turned, axis=1)).mean(0)  # step i leads to column i + 1
        is_border = np.arange(1, len(steps) + 1) % _GRID == 0
        at_borders += float(steps[is_border].mean())
        within += float(steps[~is_border].mean())
    return max(0.0, at_borders / within - 1) if within else 0.0


def _sharpness(plane: NDArray[np.float32]) -> float:
    """Mean square of steps to the next pixel by that to the one after: 1/4 of a slope, 1/2 of an edge or of a
    picture of nature that was not blurred, and 1 of noise."""
    near, far = 0.0, 0.0
    for turned in (plane, plane.T):
        near += float(np.square(turned[:, 1:] - turned[:, :-1]).mean())
        far += float(np.square(turned[:, 2:] - turned[:, :-2]).mean())
    return near / far if far else 0.0
