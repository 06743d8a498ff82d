"""Reuse: which frames of a video show what the one before showed, so that its output is theirs as well."""

from bisect import bisect_right
from collections.abc import Container
from typing import Final

from worker.media.types import Timeline

SETTLED: Final = 5  # frames into a shot; until then the recurrence makes more of the same frame each time


def reused(timeline: Timeline) -> frozenset[int]:
    """Frames that are not computed. A shot's first is never one of them."""
    starts = (0, *timeline.cuts)
    return frozenset(
        index for index in timeline.repeats if index - starts[bisect_right(starts, index) - 1] >= SETTLED
    )


def last_computed(index: int, repeats: Container[int]) -> int:
    """The frame that was computed for `index`: itself, or the one that it repeats."""
    while index in repeats:
        index -= 1
    return index
