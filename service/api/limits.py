"""Limits: what the key that asks may use, and whether it may ask at all.

Requests are drawn from the store (service/jobs/quotas.py) a second's worth at a time, so that most are let in
without asking it. What a process drew and does not use is lost with the minute, so a key may get that much
less, and never more. While the store does not answer requests are let in: what costs much it refuses itself.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.access.keys import Key
from service.api.sharing import Shared
from service.errors import TooManyRequests, TransientError
from service.jobs.quotas import MINUTE_S, Drawn, Quota, limit_headers, refusal_headers
from service.jobs.store import JobStore
from service.settings import Settings

_KNOWN_MAX: Final = 4096  # keys whose requests are remembered
_AWAY_S: Final = 1.0  # how long a store that did not answer is not asked again


def default_quota(settings: Settings) -> Quota:
    """Of a key that was given none of its own."""
    return Quota(
        open_jobs=settings.key_open_jobs_max,
        bytes_per_day=settings.key_bytes_per_day,
        megapixels_per_day=settings.key_megapixels_per_day,
        samples_per_day=settings.key_samples_per_day,
        requests_per_minute=settings.key_requests_per_minute,
    )


def quota_of(key: Key, default: Quota) -> Quota:
    """An admin has the limits that its key was given, all others have the default ones beside."""
    return key.quota if key.role == "admin" else key.quota.over(default)


def requests_of(key: Key, default: Quota) -> int | None:
    """Of its quota, what each request is held to."""
    own = key.quota.requests_per_minute
    return own if own is not None or key.role == "admin" else default.requests_per_minute


@dataclass(slots=True)
class _Allowance:
    """Of one key, in this minute and process."""

    limit: int
    left: int  # drawn, and not used yet
    remaining: int  # beside those, when they were drawn
    until: float  # by our own clock


class Allowances:
    """Requests that may be let in. Thread-safe, but for `let_in`, which is the event loop's."""

    def __init__(self, store: JobStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._by_owner: dict[str, _Allowance] = {}
        self._lock = threading.Lock()
        self._draws = Shared(self.draw)  # what each of many would draw for itself, few would use

    async def let_in(self, owner: str, limit: int) -> list[tuple[bytes, bytes]]:
        """Let a request in, and tell what its answer says of the limit. Raises TooManyRequests."""
        while (told := self.take(owner, limit)) is None:
            await self._draws.ask(owner, limit)
        return told

    def take(self, owner: str, limit: int) -> list[tuple[bytes, bytes]] | None:
        """As `let_in`, by what was drawn; None: `draw` first."""
        with self._lock:
            known, now = self._by_owner.get(owner), self._clock()
            if known is None or known.until <= now or known.limit != limit:
                return None
            if known.left < 1 and known.remaining > 0:
                return None
            if known.left < 1:
                raise TooManyRequests(
                    f"this key may make {limit} requests a minute",
                    field="requests_per_minute",
                    headers=refusal_headers(limit, 0, known.until - now, window_s=MINUTE_S),
                )
            known.left -= 1
            remaining, reset_s = known.left + known.remaining, known.until - now
        return limit_headers(limit, remaining, reset_s, window_s=MINUTE_S)

    def draw(self, owner: str, limit: int) -> None:
        """Get more from the store. Blocks."""
        count = max(1, limit // MINUTE_S)
        try:
            drawn = self._store.draw_requests(owner, limit, count)
        except TransientError:
            drawn = Drawn(granted=count, remaining=limit, reset_s=_AWAY_S)
        with self._lock:
            known, now = self._by_owner.get(owner), self._clock()
            goes_on = known is not None and known.until > now and known.limit == limit
            left = known.left if known is not None and goes_on else 0  # drawn by another request meanwhile
            if len(self._by_owner) >= _KNOWN_MAX:
                self._by_owner.clear()
            self._by_owner[owner] = _Allowance(
                limit, left + drawn.granted, drawn.remaining, now + drawn.reset_s
            )
