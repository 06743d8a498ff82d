"""Rounds: all cases in turn, again and again, so that what slows the machine slows them all.

A figure is the median of the rounds, a ratio the median of the ratios within each round.
"""

import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
Found = TypeVar("Found")


def in_rounds(
    cases: Mapping[Name, Callable[[], Found]], *, rounds_min: int, seconds: float = 0.0
) -> dict[Name, list[Found]]:
    """What each case gave in each round: `rounds_min` of them, and more while the next one fits in."""
    found: dict[Name, list[Found]] = {name: [] for name in cases}
    began, round_s, count = time.monotonic(), 0.0, 0
    while count < rounds_min or time.monotonic() - began + round_s <= seconds:
        started = time.monotonic()
        for name, case in cases.items():
            found[name].append(case())
        round_s, count = time.monotonic() - started, count + 1
    return found


def median_ratio(values: Sequence[float], against: Iterable[float]) -> float:
    """Of two cases of the same rounds."""
    return statistics.median(value / other for value, other in zip(values, against, strict=True))
