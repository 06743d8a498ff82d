"""Animations whose every frame is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

DELAYS_MS = (40, 100, 30, 250, 70)


def truth(count: int = 5, *, is_transparent: bool = True) -> list[np.ndarray]:
    """Canvases (32, 48, 4): a square in other places, each time on nothing or on blue."""
    frames = []
    for index in range(count):
        canvas = np.zeros((32, 48, 4), np.uint8)
        canvas[...] = (0, 0, 0, 0) if is_transparent else (0, 0, 255, 255)
        canvas[8:20, 4 + 6 * index : 16 + 6 * index] = (255, 0, 50 * index, 255)
        frames.append(canvas)
    return frames


def saved(path: Path, frames: Sequence[np.ndarray], **options: object) -> Path:
    pictures = [Image.fromarray(frame) for frame in frames]
    given = {"duration": list(DELAYS_MS), "loop": 0, **options}
    if path.suffix == ".webp":
        given |= {"lossless": True, "exact": True}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **given)
    return path


def found_in(path: Path) -> tuple[np.ndarray, list[int], int | None]:
    """Canvases, delays and loop count as Pillow tells them."""
    canvases, delays = [], []
    with Image.open(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            canvases.append(np.asarray(image.convert("RGBA")))
            delays.append(round(image.info["duration"]))
        return np.stack(canvases), delays, image.info.get("loop")
