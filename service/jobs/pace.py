"""Pace: how long a job will take, told by how long others took. Pure; the store keeps what was measured.

A job's seconds are those of one worker that has nothing else to do. They grow with the pixels that come in,
and have a part that does not: opening, planning, joining. Both follow from jobs of the same kind and model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from service.jobs.model import Record

KEPT: Final = 64  # measurements of one kind and model; the latest tell of the machines that there are now


class Measured(Record):
    """One job that went through undisturbed."""

    job: str
    megapixels: float  # of all frames, as they came in
    megapixels_out: float
    seconds: float  # its share of one worker's time, from the first look to the result
    result_bytes: int
    coded_as: str  # codec and quality, or format


@dataclass(frozen=True, slots=True)
class Pace:
    fixed_s: float
    s_per_megapixel: float

    def seconds(self, megapixels: float) -> float:
        return self.fixed_s + self.s_per_megapixel * megapixels


def pace_name(kind: str, model: str) -> str:
    return f"{kind} {model}"


def fitted(measured: Sequence[Measured]) -> Pace | None:
    """The line through the measurements whose errors are smallest in proportion; None where there are none.

    Least squares of (fixed + slope * megapixels) / seconds - 1, neither part below zero.
    """
    usable = [m for m in measured if m.seconds > 0 and m.megapixels > 0]
    if not usable:
        return None
    ones, slopes = [1 / m.seconds for m in usable], [m.megapixels / m.seconds for m in usable]
    a, b, c = (_dot(ones, ones), _dot(ones, slopes), _dot(slopes, slopes))
    determinant = a * c - b * b
    if determinant > 1e-9 * a * c:  # else all had one size
        fixed = (sum(ones) * c - sum(slopes) * b) / determinant
        slope = (sum(slopes) * a - sum(ones) * b) / determinant
        if fixed >= 0 and slope >= 0:
            return Pace(fixed, slope)
        if slope < 0:
            return Pace(sum(ones) / a, 0.0)
    return Pace(0.0, sum(slopes) / c)


def expected_bytes(measured: Iterable[Measured], coded_as: str, megapixels_out: float) -> int | None:
    """Of a result, by others that were coded the same."""
    densities = [
        m.result_bytes / m.megapixels_out for m in measured if m.coded_as == coded_as and m.megapixels_out > 0
    ]
    return round(median(densities) * megapixels_out) if densities else None


def wait_s(seconds: float, own: Iterable[float], others: Iterable[float], workers: int) -> float:
    """How much longer a job takes because of those that are there, with workers that give all their turns.

    seconds   of the job
    own       left of each job of the same owner
    others    left of all jobs of each other owner

    Jobs of an owner, and owners, get as much as each other, so each holds the job up by no more than the job,
    or its owner's part that is over with it, itself takes.
    """
    mine = seconds + sum(min(each, seconds) for each in own)
    return (mine + sum(min(each, mine) for each in others)) / max(1, workers) - seconds / max(1, workers)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))
