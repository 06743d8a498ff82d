"""Quotas: how much of the service one owner may use, and what is said when that is used up.

The store counts (UsageStore), in the same move that makes a job, so that two processes can't both let the
last one in. A day is one of UTC, a minute one of the clock; a store that was lost begins to count anew.
Who has which quota is told by service/api/limits.py. Start reading at `Quota`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, Self

from pydantic import Field

from service.errors import DailyLimit, LimitReached, TooManyOpenJobs
from service.jobs.model import Purpose, Record

DAY_S: Final = 86400
MINUTE_S: Final = 60
OPEN_JOBS_AGAIN_S: Final = 10  # nobody knows when one of the owner's jobs will end

_TOLD: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")
_LIMIT, _REMAINING, _RESET, _POLICY = (name.lower().encode() for name in _TOLD)

Amounts = Mapping[str, float]  # by names of Quota's fields


class Quota(Record):
    """None: no limit, or in a key, that of the settings."""

    open_jobs: int | None = Field(default=None, ge=1, description="Jobs that have not ended, at one time.")
    bytes_per_day: int | None = Field(default=None, ge=1, description="Uploaded or fetched.")
    megapixels_per_day: int | None = Field(
        default=None, ge=1, description="Of all frames that are upscaled, as they came in."
    )
    samples_per_day: int | None = Field(
        default=None, ge=1, description="Beside the jobs and megapixels of other uploads."
    )
    requests_per_minute: int | None = Field(default=None, ge=1)

    def over(self, other: Self) -> Self:
        """The limits of this one, and where it has none those of the other."""
        return self.model_copy(
            update={name: value for name, value in other if getattr(self, name) is None and value is not None}
        )


UNLIMITED: Final = Quota()
COUNTED: Final = ("bytes_per_day", "samples_per_day")  # as a job is made


def asked_of_a_job(purpose: Purpose, bytes_in: int) -> dict[str, float]:
    """What a new job asks of its owner's quota.

    How many megapixels it has is known once it is planned: one must be left. Samples are counted apart, and
    an estimate comes to nothing.
    """
    asked: dict[str, float] = {"bytes_per_day": bytes_in}
    if purpose == "sample":
        return asked | {"samples_per_day": 1}
    return asked | ({"open_jobs": 1} if purpose == "estimate" else {"open_jobs": 1, "megapixels_per_day": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Requests that may be let in, in this minute."""

    granted: int
    remaining: int  # beside those
    reset_s: float  # until the minute is over


class UsageStore(Protocol):
    """What a job store also keeps: what each owner used. Every method raises StoreUnavailable."""

    def admit(self, owner: str, quota: Quota, asked: Amounts, *, unless_key: str | None = None) -> None:
        """Raise LimitReached where so much more would be too much; nothing is counted.

        unless_key   idempotency key of what is asked: where a job was made by it, all is well
        """

    def take_in(self, upload_id: str, owner: str, quota: Quota, bytes_in: int) -> None:
        """Count the bytes of an upload that comes in pieces, once; raises LimitReached."""

    def charge(self, job_id: str, megapixels: float) -> None:
        """Count what a job comes to, once; raises LimitReached where its owner has not so much left, by the
        quota that the job was made under."""

    def draw_requests(self, owner: str, limit: int, count: int) -> Drawn:
        """Up to so many of the owner's requests of this minute. Asked again, it draws again."""


def refused(what: str, limit: float, used: float, asked: float, reset_s: float) -> LimitReached:
    """The error of an amount that would be over the limit."""
    if what == "open_jobs":
        return TooManyOpenJobs(
            f"{used:.0f} jobs of this key have not ended; it may have {limit:.0f} at a time",
            value=int(used),
            headers=refusal_headers(limit, limit - used, OPEN_JOBS_AGAIN_S),
        )
    unit = what.removesuffix("_per_day")
    return DailyLimit(
        f"this key may use {limit:.0f} {unit} a day, {used:.0f} are used, and this is {asked:.0f} more",
        field=what,
        value=round(asked),
        headers=refusal_headers(limit, limit - used, reset_s, window_s=DAY_S),
    )


def refusal_headers(
    limit: float, remaining: float, reset_s: float, *, window_s: int | None = None
) -> dict[str, str]:
    """Of an answer that refuses."""
    told = limit_headers(limit, remaining, reset_s, window_s=window_s)
    headers = {name: value.decode() for name, (_, value) in zip(_TOLD, told, strict=True)}
    return {"Retry-After": headers["RateLimit-Reset"], **headers}


def limit_headers(
    limit: float, remaining: float, reset_s: float, *, window_s: int | None = None
) -> list[tuple[bytes, bytes]]:
    """What is left, as clients know it from draft-ietf-httpapi-ratelimit-headers.

    Names and values as they are sent, since every answer to a key has them.
    """
    whole, policy = _of_limit(limit, window_s)
    return [
        (_LIMIT, whole),
        (_REMAINING, b"%d" % max(0, remaining)),
        (_RESET, b"%d" % max(1, math.ceil(reset_s))),
        (_POLICY, policy),
    ]


@lru_cache(maxsize=256)
def _of_limit(limit: float, window_s: int | None) -> tuple[bytes, bytes]:
    """What stays the same from answer to answer: the limit, and its policy."""
    whole = b"%d" % limit
    return whole, whole if window_s is None else b"%b;w=%d" % (whole, window_s)
