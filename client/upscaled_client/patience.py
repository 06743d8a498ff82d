"""Patience: how long to wait before a request is repeated, and when to give up. It has no clock."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

DELAY_S_FIRST: Final = 0.5
DELAY_S_MAX: Final = 10.0
PATIENCE_S: Final = 300.0  # without a single answer; a machine that restarts is back by then
# Before the first answer, when the address is more likely wrong than the server away.
FIRST_PATIENCE_S: Final = 10.0
_EARLIEST: Final = 0.5  # of the delay: so that those who were cut off together don't come back together
_LATEST_ASKED: Final = 1.25  # who was told when to come may be late, never early


class Patience:
    """One for a server; thread-safe, since a lost update costs a moment of patience and nothing else.

    patience_s   seconds without an answer after which the server is given up
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._was_heard = False

    def begin(self) -> "Attempts":
        """For a request and its repetitions."""
        return Attempts(self)

    def heard(self) -> None:
        """The server answered, whatever it said: the address is right."""
        self._was_heard = True

    @property
    def left_s(self) -> float:
        return self._patience_s if self._was_heard else min(self._patience_s, FIRST_PATIENCE_S)


class Attempts:
    """Those of one request."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._delay_s = DELAY_S_FIRST
        self._silent_since: float | None = None

    def failed(self, *, began_at: float, now: float, asked_s: float | None) -> float | None:
        """Seconds to wait before the next attempt; None when it is time to give up.

        began_at, now   seconds of one clock
        asked_s         what the server's Retry-After says
        """
        if self._silent_since is None or now - began_at > DELAY_S_MAX:  # a long attempt was no silence
            self._silent_since, self._delay_s = now, DELAY_S_FIRST
        wait_s = self._delay_s * random.uniform(_EARLIEST, 1.0)  # noqa: S311 - guards nothing
        if asked_s is not None:
            wait_s = max(wait_s, asked_s * random.uniform(1.0, _LATEST_ASKED))  # noqa: S311
        self._delay_s = min(DELAY_S_MAX, self._delay_s * 2)
        return None if now + wait_s - self._silent_since > self._patience.left_s else wait_s


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """What a Retry-After header asks for, in seconds or as a date; None for none and for nonsense."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
