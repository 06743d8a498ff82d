"""Sources: decodes training material to uint8, and keeps evaluation files out.

What was decoded lies in files without a name that are mapped into memory: the system keeps what there is room
for, so that the material may be larger than memory.

A folder may hold videos, folders of numbered frames (REDS, Vimeo) and photographs, at any depth; or it is a
pack (pack.py). Not here: crops, motion and degradation (sampler.py). Start reading at `load_library`.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from training.data.pack import is_pack, read_pack, write_pack

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm"})
IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
FRAME_NAME: Final = re.compile(r"(im|img|frame)?[_-]?\d+")  # REDS 00000012, Vimeo im3
LEVELS: Final = (1 / 2, 2 / 3)  # clips are kept at these: web video is soft at its full size, and Vid4 is not
LEVEL_SIDE_MIN: Final = 176  # pixels; a level with a shorter side is left out
HELD_OUT_IN: Final = 14  # one clip in so many validates
REPEAT_PART: Final = 0.2  # of the usual change from frame to frame; a repeated frame, compressed, has less
REFUSED: Final = Path(__file__).with_name("evaluation_digests.txt")


class SourceError(ValueError):
    """The material can't be trained on: evaluation data, nothing readable, or frames of unequal size."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One level of one shot: frames (T, H, W, 3) uint8 RGB. Levels of a shot share its name."""

    name: str
    frames: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """All material, decoded. `held_out` clips only validate."""

    clips: tuple[Clip, ...]
    held_out: tuple[Clip, ...]
    photos: tuple[NDArray[np.uint8], ...]  # each (H, W, 3) uint8 RGB


def load_library(path: Path) -> Library:
    """Read a folder or a pack. Raises SourceError."""
    if is_pack(path):
        found, photos = read_pack(path)
        clips = [level for name, frames in found for level in make_levels(name, frames)]
    else:
        clips = [level for name, frames in _shots(path) for level in make_levels(name, frames)]
        photos = [_mapped(_read_image(file)) for file in _photo_files(path)]
    if not clips and not photos:
        raise SourceError(f"{path}: neither videos, nor folders of frames, nor images")
    held_out = tuple(clip for clip in clips if is_held_out(clip.name))
    learned = tuple(clip for clip in clips if not is_held_out(clip.name))
    return Library(learned, held_out, tuple(photos))


def pack_folder(data: Path, out: Path, weights: Mapping[str, bytes], *, bytes_max: int) -> int:
    """Write all material of a folder, held-out shots included, as one pack; -> frames kept per shot.

    weights   files that travel with it, by name
    """
    photos = (_read_image(file) for file in _photo_files(data))
    return write_pack(out, _shots(data), photos, weights, bytes_max=bytes_max)


def is_held_out(name: str) -> bool:
    """By the name's hash, so that a clip stays on its side whatever else is added or removed."""
    return hashlib.sha256(name.encode()).digest()[0] % HELD_OUT_IN == 0


def is_frame_folder(folder: Path) -> bool:
    images = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
    return len(images) > 1 and all(FRAME_NAME.fullmatch(file.stem) for file in images)


def make_levels(name: str, frames: NDArray[np.uint8]) -> list[Clip]:
    """The shot at each of LEVELS that is large enough, or as it is when none is.

    What is learned from loses its repeated frames; what validates stays whole.
    """
    scales = [scale for scale in LEVELS if min(frames.shape[1:3]) * scale >= LEVEL_SIDE_MIN]
    levels = [shrink(frames, scale) for scale in scales] or [frames]
    return [Clip(name, _mapped(level if is_held_out(name) else without_repeats(level))) for level in levels]


def shrink(frames: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Antialiased bicubic: a box filter leaves jagged edges, which a network would learn to make."""
    size = round(frames.shape[1] * scale), round(frames.shape[2] * scale)
    small = []
    for frame in frames:
        picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
        picture = F.interpolate(picture, size=size, mode="bicubic", antialias=True, align_corners=False)
        small.append(picture[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy())
    return np.stack(small)


def without_repeats(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without frames that show the one before again, as film at another rate does; at least two stay."""
    changes = [
        float(np.abs(a.astype(np.int16) - b).mean()) for a, b in zip(frames[1:], frames[:-1], strict=True)
    ]
    usual = float(np.median(changes)) if changes else 0.0
    kept = [0, *(t for t, change in enumerate(changes, 1) if change > REPEAT_PART * usual)]
    return frames[kept] if len(kept) > 1 else frames


def _mapped(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same, in a file that goes when nothing maps it any more."""
    with tempfile.TemporaryFile() as file:
        array.tofile(file)
        return np.memmap(file, np.uint8, "c", shape=array.shape)  # torch takes no read-only array


def _shots(root: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for file in sorted(root.rglob("*")):
        if file.suffix.lower() in VIDEO_SUFFIXES:
            refuse_evaluation_file(file)
            yield file.stem, decode_video(file)
        elif file.is_dir() and is_frame_folder(file):
            images = sorted(f for f in file.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
            frames = [_read_image(image) for image in images]
            if len({frame.shape for frame in frames}) > 1:
                raise SourceError(f"{file}: its frames differ in size")
            yield str(file.relative_to(root)), np.stack(frames)


def _photo_files(root: Path) -> list[Path]:
    return [
        file
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in IMAGE_SUFFIXES and (file.parent == root or not is_frame_folder(file.parent))
    ]


def decode_video(file: Path) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 RGB of every frame."""
    import av  # noqa: PLC0415 (a run from a pack needs no PyAV)

    with av.open(str(file)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if not frames:
        raise SourceError(f"{file}: no frames")
    return np.stack(frames)


def _read_image(file: Path) -> NDArray[np.uint8]:
    refuse_evaluation_file(file)
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"{file}: not a readable image")
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def refuse_evaluation_file(file: Path) -> None:
    if hashlib.sha256(file.read_bytes()).hexdigest() in _refused_digests():
        raise SourceError(f"{file}: this is evaluation data; scores would mean nothing")


def _refused_digests() -> frozenset[str]:
    return frozenset(line.split()[0] for line in REFUSED.read_text().splitlines() if line)
