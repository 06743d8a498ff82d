"""Gaussian noise and JPEG of clips: two factors of the blind degradation.

Records with `apply(rng, frames)` as in kernels.py. Levels drift over a clip, noise is fresh in each frame.
Not here: the noise of a camera's sensor (sensor.py), video compression (codec.py), the drawing (bsrgan.py).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.degradations.kernels import Frames


@dataclass(frozen=True, slots=True, eq=False)
class GaussianNoise:
    """Noise of deviations levels (T,) that mixing (3, k) spreads from k sources over the three channels."""

    levels: NDArray[np.float64]
    mixing: NDArray[np.float32]

    def apply(self, rng: Generator, frames: Frames) -> Frames:
        sources = rng.standard_normal((*frames.shape[:3], self.mixing.shape[1]), dtype=np.float32)
        return frames + self.levels.astype(np.float32)[:, None, None, None] * (sources @ self.mixing.T)


@dataclass(frozen=True, slots=True, eq=False)
class Jpeg:
    """Each frame as a JPEG of its own; qualities (T,) are rounded."""

    qualities: NDArray[np.float64]

    def apply(self, _: Generator, frames: Frames) -> Frames:
        pairs = zip(to_levels(frames), self.qualities, strict=True)
        return from_levels(np.stack([_through_jpeg(frame, round(quality)) for frame, quality in pairs]))


GREY: NDArray[np.float32] = np.ones((3, 1), np.float32)
BY_CHANNEL: NDArray[np.float32] = np.eye(3, dtype=np.float32)


def correlated(rng: Generator) -> NDArray[np.float32]:
    """(3, 3) mixing whose covariance is U diag(d) Uᵀ: U random and orthogonal, d uniform in [0, 1]."""
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return (rotation * np.sqrt(rng.uniform(size=3))).astype(np.float32)


def to_levels(frames: Frames) -> NDArray[np.uint8]:
    return (frames * 255).round().clip(0, 255).astype(np.uint8)


def from_levels(frames: NDArray[np.uint8]) -> Frames:
    return frames.astype(np.float32) / np.float32(255)


def _through_jpeg(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, code = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    picture = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert picture is not None, "what OpenCV wrote, it can read"
    return np.asarray(picture[..., ::-1], np.uint8)
