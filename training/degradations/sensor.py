"""Noise as a camera makes it: back to raw light, noise there, and through the camera's processing again.

A simple version of BSRGAN's reverse-forward pipeline: tone curve, gamma, colour matrix and white balance are
undone, a Bayer mosaic keeps one colour a pixel, and after the noise all steps run forwards. Without noise the
picture comes back, softened by demosaicing alone. Matrices, gains, the tone curve and the noise model are
those of Brooks et al. 2019, "Unprocessing Images for Learned Raw Denoising" (arXiv:1811.11127), where BSRGAN
takes measured tone curves and matrices from raw files.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.degradations.kernels import Frames

RED_GAIN: Final = (1.9, 2.4)
BLUE_GAIN: Final = (1.5, 1.9)
SHOT: Final = (1e-4, 1.2e-2)  # variance per unit of light, log-uniform
READ_SLOPE: Final = 2.18  # log of the read variance by log of the shot variance: a line with some spread
READ_OFFSET: Final = 1.20
READ_SPREAD: Final = 0.26

SRGB_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
XYZ_TO_CAMERAS: Final = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)  # four cameras
_ALONG: Final = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
    np.float32,
)
MALVAR: Final = (  # eighths: green; red or blue between two in a row; in a column; red at blue and reverse
    np.array(
        [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]], np.float32
    ),
    _ALONG,
    _ALONG.T,
    np.array(
        [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]],
        np.float32,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class SensorNoise:
    """gains (3,) and colours (3, 3), from sRGB light to its own, of a camera; variances shots, reads (T,)."""

    gains: NDArray[np.float64]
    colours: NDArray[np.float64]
    shots: NDArray[np.float64]
    reads: NDArray[np.float64]

    def apply(self, rng: Generator, frames: Frames) -> Frames:
        gains = mosaic(np.broadcast_to(self.gains.astype(np.float32), (1, *frames.shape[1:])))
        raw = mosaic(_to_light(frames) @ self.colours.T.astype(np.float32)) / gains
        shot, read = (v.astype(np.float32)[:, None, None] for v in (self.shots, self.reads))
        raw += np.sqrt(shot * np.maximum(raw, 0) + read) * rng.standard_normal(raw.shape, dtype=np.float32)
        # White balance comes before demosaicing, which takes the three channels to be alike.
        return _from_light(demosaic(raw * gains) @ np.linalg.inv(self.colours).T.astype(np.float32))


def draw_camera(rng: Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gains and colours of a camera between the four."""
    gains = np.array([rng.uniform(*RED_GAIN), 1.0, rng.uniform(*BLUE_GAIN)])
    weights = rng.uniform(1e-8, 1, len(XYZ_TO_CAMERAS))
    colours = np.tensordot(weights / weights.sum(), XYZ_TO_CAMERAS, 1) @ SRGB_TO_XYZ
    return gains, colours / colours.sum(1, keepdims=True)  # white stays white


def draw_read(rng: Generator, shots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read noise that goes with that shot noise."""
    offset = READ_OFFSET + READ_SPREAD * rng.standard_normal()
    return np.exp(READ_SLOPE * np.log(shots) + offset)


def mosaic(colours: Frames) -> Frames:
    """(T, H, W, 3) -> (T, H, W): red at even rows and columns, blue at odd ones, green elsewhere."""
    raw = colours[..., 1].copy()
    raw[:, ::2, ::2] = colours[:, ::2, ::2, 0]
    raw[:, 1::2, 1::2] = colours[:, 1::2, 1::2, 2]
    return raw


def demosaic(raw: Frames) -> Frames:
    """(T, H, W) -> (T, H, W, 3): linear with gradients, by Malvar, He and Cutler 2004, as in Matlab."""
    found = np.repeat(raw[..., None], 3, -1)
    for frame, colours in zip(raw, found, strict=True):
        cross, along, across, diagonal = (
            cv2.filter2D(frame, -1, taps / 8, borderType=cv2.BORDER_REFLECT_101) for taps in MALVAR
        )
        red, green, blue = (colours[..., channel] for channel in range(3))
        green[::2, ::2], green[1::2, 1::2] = cross[::2, ::2], cross[1::2, 1::2]
        red[::2, 1::2], blue[1::2, ::2] = along[::2, 1::2], along[1::2, ::2]
        red[1::2, ::2], blue[::2, 1::2] = across[1::2, ::2], across[::2, 1::2]
        red[1::2, 1::2], blue[::2, ::2] = diagonal[1::2, 1::2], diagonal[::2, ::2]
    return found


def _to_light(frames: Frames) -> Frames:
    """Undo the tone curve 3x² - 2x³, then sRGB's gamma."""
    flat = np.float32(0.5) - np.sin(np.arcsin(1 - 2 * frames) / 3)
    return np.where(flat <= 0.04045, flat / 12.92, ((flat + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _from_light(light: Frames) -> Frames:
    light = light.clip(0, 1)
    flat = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(flat * flat * (3 - 2 * flat), np.float32)
