"""Texture: made-up frames with motion everywhere, detail to find, and nothing that looks like a cut."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from tests.worker.media.clips import make_clip
from worker.frames import LowFrame

RATE: Final = 25
RADIUS: Final = 30  # pixels
STEP: Final = 0.05  # radians a frame: one and a half pixels


def moving(frame_count: int, width: int, height: int) -> Iterator[LowFrame]:
    """A soft texture with a finer one upon it, in a slow circle; the same frames each time."""
    noise = np.random.default_rng(0)
    side = 2 * (RADIUS + 2)

    def layer(sigma: float) -> np.ndarray:
        plane = noise.integers(0, 256, (height + side, width + side, 3), np.uint8)
        blurred = cv2.GaussianBlur(plane, (0, 0), sigma).astype(np.float32)
        return np.asarray(cv2.normalize(blurred, blurred, 0, 1, cv2.NORM_MINMAX))

    scene = (255 * (0.7 * layer(4) + 0.3 * layer(0.8))).astype(np.uint8)
    for index in range(frame_count):
        y, x = (round(side / 2 + RADIUS * turn(STEP * index)) for turn in (math.sin, math.cos))
        yield np.ascontiguousarray(scene[y : y + height, x : x + width])


def clip(path: Path, frame_count: int, width: int, height: int) -> Path:
    frames, bt709 = moving(frame_count, width, height), {"matrix": 1, "primaries": 1, "transfer": 1}
    return make_clip(path, frames, width=width, height=height, rate=RATE, colour=bt709)


def read_size(text: str) -> tuple[int, int]:
    """'320x180' -> (width, height); for argparse."""
    width, height = map(int, text.split("x"))
    return width, height
