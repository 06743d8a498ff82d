"""Ids of jobs: when each was made, then bits that nobody can guess, so that they sort by age and give access.

Listing takes a time for a place among them (`id_bound`), housekeeping reads the time back (`created_at_of`).
"""

import base64
import secrets
import time
from collections.abc import Callable

_TIME_BYTES = 6  # milliseconds since 1970 fit until the year 10889
_RANDOM_BYTES = 16  # 128 bits nobody can guess: the id is what gives access to a result


def new_job_id(clock: Callable[[], float] = time.time) -> str:
    """36 characters of 0-9 and a-v: creation time in front, so that ids sort by age, then 128 random bits."""
    raw = int(clock() * 1000).to_bytes(_TIME_BYTES) + secrets.token_bytes(_RANDOM_BYTES)
    # base32hex keeps the order of the bytes, unlike base32 and base64.
    return base64.b32hexencode(raw).decode().rstrip("=").lower()


def id_bound(time_s: float) -> str:
    """Smaller than every id made from then on, and larger than those made before."""
    ms = min(max(0, int(time_s * 1000)), 2 ** (8 * _TIME_BYTES) - 1)
    return base64.b32hexencode(ms.to_bytes(_TIME_BYTES)).decode().rstrip("=").lower()


def created_at_of(job_id: str) -> float:
    """Seconds since 1970 at which the id was made; raises ValueError when it is not one of ours."""
    raw = base64.b32hexdecode(job_id.upper() + "=" * (-len(job_id) % 8))
    if len(raw) != _TIME_BYTES + _RANDOM_BYTES:
        raise ValueError(f"not a job id: {job_id!r}")
    return int.from_bytes(raw[:_TIME_BYTES]) / 1000


def is_job_id(text: str) -> bool:
    """Whether it is one of ours, and so also a plain name in storage."""
    try:
        created_at_of(text)
    except ValueError:
        return False
    return text == text.lower()
