"""Keyring: whose key is shown; many who show one at once cost one question, which is soon asked again."""

import asyncio
import threading
import time
from pathlib import Path

import httpx
import pytest

from service.access.keys import create, limit, list_all, revoke
from service.api.keyring import Keyring
from service.api.limits import Allowances
from service.errors import StorageUnavailable
from service.jobs.memory.store import MemoryStore
from service.jobs.quotas import Drawn, Quota
from service.objects.files import FileStorage
from tests.service.api.harness import Service
from tests.service.api.test_callers import Owner, closed

__all__ = ["closed"]

SHOWN_AT_ONCE = 64  # more than there are threads


class Slow(FileStorage):
    """Reads when it is let, and keeps what it was asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []
        self.may_answer = threading.Semaphore(0)
        self.is_away = False

    def get(self, key: str) -> bytes:
        self.asked.append(key)
        found = super().get(key)
        assert self.may_answer.acquire(timeout=10)
        if self.is_away:
            raise StorageUnavailable("restarting")
        return found


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "objects")


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    return Slow(tmp_path / "objects")


async def asked(storage: Slow, count: int) -> None:
    async with asyncio.timeout(10):
        while len(storage.asked) < count:
            await asyncio.sleep(0.001)


def test_whatever_is_no_key_of_ours_is_none(storage: FileStorage) -> None:
    ann, bob = create(storage, "ann"), create(storage, "bob")
    ring = Keyring(storage)
    mixed = ann[:21] + bob[21:]
    for shown in (
        "",
        "upk_",
        ann[:-1],
        ann + "x",
        ann.upper(),
        mixed,
        f"upk_{'0' * 16}_{'A' * 43}",
        "é" * 64,
    ):
        assert asyncio.run(ring.recognise(shown)) is None, shown
    assert asyncio.run(ring.recognise(ann)) is not None


def test_a_revoked_key_is_known_no_more_after_a_second(storage: FileStorage) -> None:
    now = 0.0
    ring = Keyring(storage, clock=lambda: now)
    shown = create(storage, "ann")
    assert asyncio.run(ring.recognise(shown)) is not None
    revoke(storage, "ann")
    now = 1.01
    assert asyncio.run(ring.recognise(shown)) is None
    assert [key.revoked_at is not None for key in list_all(storage)] == [True]


def test_of_many_who_show_a_key_at_once_one_asks_the_storage(storage: FileStorage, slow: Slow) -> None:
    now = 0.0
    shown = create(storage, "ann")
    ring = Keyring(slow, clock=lambda: now)

    async def show() -> list[str | None]:
        slow.may_answer.release()
        found = await asyncio.gather(*(ring.recognise(shown) for _ in range(SHOWN_AT_ONCE)))
        return [key and key.name for key in found]

    assert asyncio.run(show()) == ["ann"] * SHOWN_AT_ONCE
    assert len(slow.asked) == 1
    now = 1.01
    assert asyncio.run(show()) == ["ann"] * SHOWN_AT_ONCE
    assert len(slow.asked) == 2


def test_an_answer_that_is_slow_to_come_lets_in_nobody_who_came_a_second_after_its_question(
    storage: FileStorage, slow: Slow
) -> None:
    """Else a storage that takes long would let a revoked key work for as long."""
    now = 0.0
    shown = create(storage, "ann")
    ring = Keyring(slow, clock=lambda: now)

    async def show() -> None:
        nonlocal now
        early = asyncio.create_task(ring.recognise(shown))
        await asked(slow, 1)
        revoke(storage, "ann")
        now = 1.01
        late = asyncio.create_task(ring.recognise(shown))
        await asked(slow, 2)
        slow.may_answer.release(2)
        assert await early is not None
        assert await late is None

    asyncio.run(show())


def test_another_secret_that_waits_for_the_same_answer_is_refused_by_it(
    storage: FileStorage, slow: Slow
) -> None:
    shown = create(storage, "ann")
    ring = Keyring(slow)

    async def show() -> None:
        slow.may_answer.release()
        right, wrong = await asyncio.gather(ring.recognise(shown), ring.recognise(f"{shown[:21]}{'A' * 43}"))
        assert right is not None
        assert wrong is None

    asyncio.run(show())
    assert len(slow.asked) == 1


def test_a_storage_that_is_away_is_told_to_all_who_wait_and_asked_again_by_the_next(
    storage: FileStorage, slow: Slow
) -> None:
    shown = create(storage, "ann")
    ring = Keyring(slow)

    async def show() -> None:
        slow.is_away = True
        slow.may_answer.release(2)
        both = await asyncio.gather(ring.recognise(shown), ring.recognise(shown), return_exceptions=True)
        assert [type(each) for each in both] == [StorageUnavailable, StorageUnavailable]
        slow.is_away = False
        assert await ring.recognise(shown) is not None

    asyncio.run(show())


def test_one_who_leaves_takes_no_answer_from_the_others(storage: FileStorage, slow: Slow) -> None:
    shown = create(storage, "ann")
    ring = Keyring(slow)

    async def show() -> None:
        leaves, stays = (asyncio.create_task(ring.recognise(shown)) for _ in range(2))
        await asked(slow, 1)
        leaves.cancel()
        await asyncio.sleep(0.01)
        slow.may_answer.release()
        assert await stays is not None

    asyncio.run(show())
    assert len(slow.asked) == 1


def test_made_up_ids_do_not_fill_the_memory(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.keyring._KNOWN_MAX", 10)
    ring = Keyring(storage)

    async def show() -> None:
        for number in range(50):
            assert await ring.recognise(f"upk_{number:016x}_{'A' * 43}") is None

    asyncio.run(show())
    assert len(ring._seen) <= 10


def test_requests_that_come_at_once_with_a_key_unheard_of_cost_one_look_and_one_draw(
    closed: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do again each second, when what is known of the key is too old."""
    ann = Owner(closed, create(closed.storage, "ann"))
    limit(closed.storage, "ann", Quota(requests_per_minute=60 * SHOWN_AT_ONCE))
    job_id = ann.post()
    looked, drawn = [], []
    get, draw = closed.storage.get, closed.store.draw_requests

    def slow_get(key: str) -> bytes:
        if key.startswith("keys/"):
            looked.append(key)
            time.sleep(0.1)
        return get(key)

    def slow_draw(owner: str, limit: int, count: int) -> Drawn:
        drawn.append(owner)
        time.sleep(0.1)
        return draw(owner, limit, count)

    monkeypatch.setattr(closed.storage, "get", slow_get)
    monkeypatch.setattr(closed.store, "draw_requests", slow_draw)

    async def send(http: httpx.AsyncClient) -> httpx.Response:
        asking = (http.get(f"/jobs/{job_id}", headers=ann.headers) for _ in range(SHOWN_AT_ONCE))
        answers = await asyncio.gather(*asking)
        assert {answer.status_code for answer in answers} == {200}
        left = sorted(int(answer.headers["ratelimit-remaining"]) for answer in answers)
        assert len(set(left)) == SHOWN_AT_ONCE  # each is counted
        return answers[0]

    closed.run(send)
    assert (len(looked), len(drawn)) == (1, 1)


def test_who_waits_for_a_draw_is_refused_when_it_was_the_last() -> None:
    allowances = Allowances(MemoryStore(lease_s=10, attempts_max=4))

    async def ask() -> list[type]:
        asking = (allowances.let_in("ann", 3) for _ in range(5))
        return [type(each) for each in await asyncio.gather(*asking, return_exceptions=True)]

    assert [each.__name__ for each in asyncio.run(ask())] == ["list"] * 3 + ["TooManyRequests"] * 2
