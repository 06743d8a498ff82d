"""A folder of numbered frames, in and out: a video without a container, for the command line.

frame1.png, frame2.png, ... frame10.png are taken in the order of their numbers, whatever their zeros. Gaps in
the numbers are told, not filled. Start at `list_frames`, `FrameWriter`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.errors import InputError, InvalidOption, NotMedia, UnsupportedMedia
from service.formats import PICTURES, suffix_of
from worker.media.pictures.picture import Picture
from worker.media.pictures.writing import check_output, write_image
from worker.media.reading.container import sniff
from worker.media.sandbox.pictures import read_image

_NUMBER = re.compile(r"(\d+)(?=\.[^.]*$)")  # the last digits before the suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The frames of a folder, in order."""

    paths: tuple[Path, ...]
    notices: tuple[str, ...] = ()

    @property
    def frame_count(self) -> int:
        return len(self.paths)


def list_frames(folder: Path) -> Folder:
    """Find the pictures whose names end in a number; other files are left alone, with a notice.

    Raises NotMedia for a folder without such pictures, UnsupportedMedia for two files of one number or for
    numbers that belong to different names.
    """
    numbered: dict[int, Path] = {}
    stems = set()
    others = 0
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != "."):
        found = _NUMBER.search(path.name)
        if found is None or not _is_picture(path):
            others += 1
            continue
        number = int(found[1])
        if number in numbered:
            message = f"{numbered[number].name} and {path.name} have the same number"
            raise UnsupportedMedia(message, field="file", value=path.name)
        numbered[number] = path
        stems.add(path.name[: found.start()])
    if not numbered:
        raise NotMedia("the folder holds no numbered pictures", field="file", value=folder.name)
    if len(stems) > 1:
        message = f"the folder holds more than one sequence: {', '.join(sorted(stems))}"
        raise UnsupportedMedia(message, field="file", value=folder.name)
    return Folder(
        paths=tuple(numbered[number] for number in sorted(numbered)),
        notices=_notices(sorted(numbered), others),
    )


def read_frames(folder: Folder, start: int, stop: int, *, pixels_max: int) -> Iterator[Picture]:
    """Frames [start, stop). Raises UnsupportedMedia where one differs from the first in size or depth."""
    size = bits = None
    for path in folder.paths[start:stop]:
        picture = read_image(path, pixels_max=pixels_max)
        size = size or picture.rgb.shape
        if picture.rgb.shape != size:
            (h, w), (first_h, first_w) = picture.rgb.shape[:2], size[:2]
            message = f"{path.name} has {w}x{h} pixels, the first frame {first_w}x{first_h}"
            raise UnsupportedMedia(message, field="file", value=f"{w}x{h}")
        found, bits = picture.rgb.itemsize * 8, bits or picture.rgb.itemsize * 8
        if found != bits:
            message = f"{path.name} has {found} bits a sample, the first frame {bits}"
            raise UnsupportedMedia(message, field="file", value=found)
        yield picture


class FrameWriter:
    """Writes frames to a folder under the names of the frames they came from, each whole or not at all."""

    def __init__(self, folder: Path, source: Folder, *, kind: str | None = None, quality: int | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.is_file() and path.name[0] != "." for path in folder.iterdir()):
            raise InvalidOption("the folder for the result is not empty", field="out", value=str(folder))
        self._folder, self._source = folder, source
        self._kind, self._quality = kind, quality
        self._frame_count = 0

    def write(self, high: Picture) -> Path:
        """Write the next frame; returns where."""
        kind = self._kind or high.format
        check_output(kind, high.rgb.shape[1], high.rgb.shape[0])
        name = self._source.paths[self._frame_count].with_suffix(suffix_of(kind)).name
        write_image(high, self._folder / name, kind=kind, quality=self._quality)
        self._frame_count += 1
        return self._folder / name


def _is_picture(path: Path) -> bool:
    try:
        return sniff(path) in PICTURES
    except InputError:
        return False


def _notices(numbers: list[int], others: int) -> tuple[str, ...]:
    notices = []
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if missing:
        notices.append(
            f"{missing} numbers between {numbers[0]} and {numbers[-1]} are missing; they were skipped"
        )
    if others:
        notices.append(f"{others} files that are no numbered pictures were left alone")
    return tuple(notices)
