"""A pack: the training material as one file that OpenCV and numpy alone can read, small enough to travel.

It is a numpy .npz whose members are encoded pictures: `clip/<name>/<index>` and `photo/<index>` are WebP, and
`weights/<file>` holds the perceptual loss's network byte for byte. Written by `python -m
training pack`, read by sources.py.
"""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

QUALITY: Final = 90  # WebP; half-size frames hide its marks, which full-size ones of the same bytes would not
SIDE_MIN: Final = 176  # shorter sides are not halved: a crop of 44 low-resolution pixels must fit


def write_pack(
    path: Path,
    clips: Iterable[tuple[str, NDArray[np.uint8]]],
    photos: Iterable[NDArray[np.uint8]],
    weights: Mapping[str, bytes],
    *,
    bytes_max: int,
) -> int:
    """Write what fits; returns frames per clip.

    Weights go in whole. Beside clips, photographs get at most half of the room that is left, thinned out
    evenly; then the longest clips lose their last frames. Frames are halved first: web video holds no more
    detail than that, and sharp targets teach more. Raises ValueError if no two frames of a clip would fit.
    """
    encoded = {name: [_encode(_halve(frame)) for frame in frames] for name, frames in clips}
    rest = {f"weights/{name}": np.frombuffer(content, np.uint8) for name, content in weights.items()}
    room = bytes_max - sum(_stored_bytes(item) for item in rest.values())
    kept = _thin([_encode(photo) for photo in photos], room // 2 if encoded else room)
    rest |= {f"photo/{index:05d}": photo for index, photo in enumerate(kept)}
    room -= sum(_stored_bytes(photo) for photo in kept)
    for length in range(max((len(frames) for frames in encoded.values()), default=0), -1, -1):
        used = sum(_stored_bytes(item) for frames in encoded.values() for item in frames[:length])
        if used <= room and (length > 1 or not encoded):
            break
    else:
        raise ValueError(f"{bytes_max} bytes are too few: all but the clips takes {bytes_max - room}")
    members = {
        f"clip/{name}/{index:05d}": item
        for name, frames in encoded.items()
        for index, item in enumerate(frames[:length])
    }
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        np.savez(file, **members, **rest)  # type: ignore[arg-type]  # numpy's stub forgets keyword arrays
    partial.replace(path)
    return length


def is_pack(path: Path) -> bool:
    return path.is_file() and zipfile.is_zipfile(path)


def read_pack(path: Path) -> tuple[list[tuple[str, NDArray[np.uint8]]], list[NDArray[np.uint8]]]:
    """Clips by name, each (T, H, W, 3) uint8 RGB, and photographs."""
    with np.load(path) as members:
        names = sorted(members.files)
        photos = [_decode(members[name]) for name in names if name.startswith("photo/")]
        frames: dict[str, list[NDArray[np.uint8]]] = {}
        for name in names:
            if name.startswith("clip/"):
                frames.setdefault(name[len("clip/") : name.rindex("/")], []).append(_decode(members[name]))
    return [(name, np.stack(shots)) for name, shots in frames.items()], photos


def unpack_weights(path: Path, folder: Path) -> Iterator[Path]:
    """Write the weights inside a pack into `folder`, byte for byte."""
    with np.load(path) as members:
        for name in members.files:
            if name.startswith("weights/"):
                file = folder / Path(name).name
                file.write_bytes(members[name].tobytes())
                yield file


def _thin(photos: list[NDArray[np.uint8]], bytes_max: int) -> list[NDArray[np.uint8]]:
    """As many of them as fit, from all along the list."""
    for count in range(len(photos), 0, -1):
        chosen = [photos[index * len(photos) // count] for index in range(count)]
        if sum(_stored_bytes(photo) for photo in chosen) <= bytes_max:
            return chosen
    return []


def _halve(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    if min(height, width) < 2 * SIDE_MIN:
        return frame
    return np.asarray(cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)


def _encode(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    done, encoded = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    assert done
    return np.asarray(encoded, np.uint8).reshape(-1)


def _decode(encoded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a picture of the pack is damaged")
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def _stored_bytes(item: NDArray[np.uint8]) -> int:
    return item.nbytes + 400  # the member's own headers: .npy, and twice its name in the archive
