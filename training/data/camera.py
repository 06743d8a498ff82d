"""A photograph becomes a clip: a smooth camera path with pan, zoom, rotation and known motion.

Not here: which photograph and how long (sampler.py). A pose is the affine map from a pixel of the shown frame
to a place in the photograph; between two poses the true flow is known exactly.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model_core.config import SCALE

PAN_MAX: Final = 8.0  # high-resolution pixels a frame; two low-resolution ones, as in hand-held footage
TURN_MAX: Final = 0.008  # radians a frame
ZOOM_MAX: Final = 0.012  # part of the size a frame
SHAKE_MAX: Final = 1.0  # high-resolution pixels
BLOB_GRID: Final = 64  # pixels of the photograph between the seeds of a blob
BASE_ZOOM: Final = (0.8, 1.25)  # photograph pixels per shown pixel


@dataclass(frozen=True, slots=True)
class Path:
    """Poses of T frames: (T, 2, 3), each from (x, y) of a frame of that size to a place in the photograph."""

    poses: NDArray[np.float64]
    height: int
    width: int


def draw_path(rng: Generator, *, frames: int, height: int, width: int, photo: tuple[int, int]) -> Path:
    """A random smooth path whose middle frame lies inside a photograph of (height, width) `photo`."""
    zoom = float(np.exp(rng.uniform(*np.log(BASE_ZOOM))))
    time = np.arange(frames) - (frames - 1) / 2
    # Speeds are squared draws: still and slow cameras are common, fast ones rare.
    heading, speed = rng.uniform(0, 2 * np.pi), PAN_MAX * rng.uniform() ** 2
    shake = (
        SHAKE_MAX
        * rng.uniform() ** 2
        * np.sin(np.outer(time, rng.uniform(0.3, 1.5, 2)) + rng.uniform(0, 6, 2))
    )
    pan = np.outer(time, speed * np.array([np.cos(heading), np.sin(heading)])) + shake  # (T, 2)
    angle = time * TURN_MAX * rng.uniform(-1, 1) ** 3
    scale = zoom * np.exp(time * ZOOM_MAX * rng.uniform(-1, 1) ** 3)
    room = np.maximum(np.array([photo[1] - zoom * width, photo[0] - zoom * height]), 0)
    centre = np.array([photo[1] - 1, photo[0] - 1]) / 2 + rng.uniform(-0.5, 0.5, 2) * room
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)  # (T, 2, 2)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = centre + pan * zoom - turn @ middle
    return Path(np.concatenate([turn, shift[..., None]], -1), height, width)


def render(photo: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8: what the camera sees; past its border the photograph is mirrored."""
    return np.stack(
        [
            cv2.warpAffine(
                photo,
                pose,
                (path.width, path.height),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,  # Lanczos costs three times as much
                borderMode=cv2.BORDER_REFLECT_101,
            )
            for pose in path.poses
        ]
    )


def true_flow(path: Path) -> NDArray[np.float32]:
    """(T-1, 2, h, w) low-resolution pixels: where each low pixel's centre was in the frame before."""
    rows = np.arange(path.height // SCALE) * SCALE + (SCALE - 1) / 2
    columns = np.arange(path.width // SCALE) * SCALE + (SCALE - 1) / 2
    x, y = np.meshgrid(columns, rows)
    points = np.stack([x, y, np.ones_like(x)])  # (3, h, w) high-resolution coordinates
    flows = []
    for before, pose in zip(path.poses[:-1], path.poses[1:], strict=True):
        back = _square(np.linalg.inv(_square(before)) @ _square(pose))
        flows.append((np.einsum("ij,jhw->ihw", back[:2], points) - points[:2]) / SCALE)
    return np.stack(flows).astype(np.float32)


def _square(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    return pose if pose.shape == (3, 3) else np.vstack([pose, [0.0, 0.0, 1.0]])


def render_two_layers(
    rng: Generator, photos: tuple[NDArray[np.uint8], NDArray[np.uint8]], frames: int, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A photograph under one camera path, and part of a second one that moves its own way in front of it.

    The second shows through a soft blob that moves with it, so the motion has edges, and ground is hidden.
    Returns (T, H, W, 3) uint8 and the true flow (T-1, 2, h, w).
    """
    back, front = (
        draw_path(rng, frames=frames, height=side, width=side, photo=(photo.shape[0], photo.shape[1]))
        for photo in photos
    )
    height, width = photos[1].shape[:2]
    seeds = rng.standard_normal((height // BLOB_GRID + 2, width // BLOB_GRID + 2)).astype(np.float32)
    smooth = np.asarray(cv2.resize(seeds, (width, height), interpolation=cv2.INTER_CUBIC))
    soft = np.clip(0.5 + 4 * smooth / smooth.std(), 0, 1)  # its edges are about a dozen pixels wide
    mask = render((soft * 255).astype(np.uint8), front)[..., None] / 255  # (T, H, W, 1)
    shown = mask * render(photos[1], front) + (1 - mask) * render(photos[0], back)
    # A low pixel moves with the layer that shows most at its centre.
    centre = SCALE // 2
    in_front = mask[1:, None, centre::SCALE, centre::SCALE, 0] > 0.5
    return shown.round().astype(np.uint8), np.where(in_front, true_flow(front), true_flow(back))
