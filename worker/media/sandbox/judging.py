"""What came back from a process that read media, looked at again: it may have been taken over.

As far as the worker's own memory and time depend on it. All raise BrokenMedia. Start at `source_of`.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from pydantic import ValidationError

from service.errors import BrokenMedia
from worker.media.types import Limits, Source, Timeline

_FRACTION: Final = re.compile(r"-?\d{1,40}(/\d{1,40})?")


class Counts:
    """How many frames a pass over all of them told of, which its timeline may not exceed."""

    def __init__(self, on_frame: Callable[[int], None]) -> None:
        self._on_frame = on_frame
        self._most = 0

    def __call__(self, count: int) -> None:
        self._most = max(self._most, count)
        self._on_frame(count)

    def checked(self, plain: dict[str, object]) -> Timeline:
        try:
            _check_fractions([plain.get("time_base")])
            timeline = Timeline.from_json(plain)
        except ValidationError as error:
            raise nonsense() from error
        if not 0 < timeline.frame_count <= self._most:
            raise nonsense()
        return timeline


def source_of(plain: dict[str, object], limits: Limits) -> Source:
    """What a reader says that a file is, within the limits."""
    said = [plain.get(name) for name in ("sar", "rate", "time_base", "start_s")]
    chapters = plain.get("chapters")
    for chapter in chapters if isinstance(chapters, list) else ():
        said += [chapter.get("start_s"), chapter.get("end_s")] if isinstance(chapter, dict) else []
    try:
        _check_fractions(said)
        source = Source.from_json(plain)
    except ValidationError as error:
        raise nonsense() from error
    if source.width < 0 or source.height < 0 or source.width * source.height > limits.pixels_max:
        raise nonsense()
    return source


def _check_fractions(said: Iterable[object]) -> None:
    """Texts such as "1/25" and no others: "1e999999999" would be computed."""
    if any(each is not None and not _FRACTION.fullmatch(str(each)) for each in said):
        raise nonsense()


def nonsense() -> BrokenMedia:
    """For what no reader of ours says."""
    return BrokenMedia("the file cannot be read: its reader told nonsense", field="file")
