from datetime import UTC, datetime

import pytest

from upscaled_client.patience import DELAY_S_FIRST, FIRST_PATIENCE_S, PATIENCE_S, Patience, retry_after_s

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("5", 5.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),  # long ago: now
        ("soon", None),
        ("-3", None),
        ("٣", None),
    ],
)
def test_what_a_server_asks_for_is_read_in_seconds_and_as_a_date(
    header: str | None, wanted: float | None
) -> None:
    assert retry_after_s(header, NOON) == wanted


def test_delays_grow_and_end_with_our_patience() -> None:
    attempts, now, waits = Patience().begin(), 100.0, []
    while (wait_s := attempts.failed(began_at=now, now=now, asked_s=None)) is not None:
        waits.append(wait_s)
        now += wait_s
    assert waits[0] <= DELAY_S_FIRST
    assert now - 100.0 <= FIRST_PATIENCE_S


def test_a_server_that_answered_once_is_waited_for_longer() -> None:
    patience = Patience()
    patience.heard()
    attempts, now = patience.begin(), 0.0
    while (wait_s := attempts.failed(began_at=now, now=now, asked_s=None)) is not None:
        now += wait_s
    assert PATIENCE_S / 2 < now <= PATIENCE_S


def test_nobody_comes_earlier_than_asked() -> None:
    patience = Patience()
    patience.heard()
    waits = [patience.begin().failed(began_at=0, now=0, asked_s=20) for _ in range(100)]
    assert all(20 <= (wait_s or 0) <= 25 for wait_s in waits)


def test_a_long_attempt_is_no_silence() -> None:
    """An upload of an hour that breaks off at its end is tried again."""
    attempts = Patience().begin()
    assert attempts.failed(began_at=0, now=0, asked_s=None) is not None
    assert attempts.failed(began_at=1, now=3600, asked_s=None) is not None
