"""Looks: many who ask at once cost the store one question, and get what they would have got alone."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.api.shown.looking import Looks
from service.errors import StoreUnavailable
from service.jobs.index import Placed
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Job


class Slow(MemoryStore):
    """Answers when it is let, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(lease_s=10, attempts_max=4)
        self.asked: list[set[str]] = []
        self.may_answer = threading.Semaphore(0)
        self.is_away = False

    def look(self, job_ids: Sequence[str]) -> dict[str, Placed]:
        self.asked.append(set(job_ids))
        seen = super().look(list(job_ids))
        assert self.may_answer.acquire(timeout=10)
        if self.is_away:
            raise StoreUnavailable("restarting")
        return seen


@pytest.fixture
def store() -> Slow:
    made = Slow()
    for name in "abc":
        made.create(
            Job(id=name, kind="video", filename="x", size_bytes=1, sha256="0", created_at=1, updated_at=1)
        )
    return made


async def under_way(store: Slow, count: int) -> None:
    async with asyncio.timeout(10):
        while len(store.asked) < count:
            await asyncio.sleep(0.001)


def test_who_comes_while_the_store_is_asked_is_told_what_it_says_after_that(store: Slow) -> None:
    async def ask() -> None:
        looks = Looks(store)
        first = asyncio.create_task(looks.at("a"))
        await under_way(store, 1)
        later = [asyncio.create_task(looks.at(name)) for name in ("a", "b", "b", "never")]
        await asyncio.sleep(0.01)
        assert len(store.asked) == 1
        store.delete("b")
        store.may_answer.release(2)
        assert await first == Placed(store.get("a"), 0)
        assert await asyncio.gather(*later) == [Placed(store.get("a"), 0), None, None, None]

    asyncio.run(ask())
    assert store.asked == [{"a"}, {"a", "b", "never"}]


def test_a_store_that_is_away_is_told_to_all_who_asked_and_asked_again_by_the_next(store: Slow) -> None:
    async def ask() -> None:
        looks = Looks(store)
        store.is_away = True
        store.may_answer.release(3)
        told = await asyncio.gather(looks.at("a"), looks.at("b"), return_exceptions=True)
        assert [type(each) for each in told] == [StoreUnavailable, StoreUnavailable]
        store.is_away = False
        assert await looks.at("c") == Placed(store.get("c"), 2)

    asyncio.run(ask())


def test_one_who_leaves_takes_no_answer_from_the_others(store: Slow) -> None:
    async def ask() -> None:
        looks = Looks(store)
        leaves, stays = asyncio.create_task(looks.at("a")), asyncio.create_task(looks.at("a"))
        await under_way(store, 1)
        leaves.cancel()
        await asyncio.sleep(0.01)
        store.may_answer.release()
        assert await stays == Placed(store.get("a"), 0)

    asyncio.run(ask())


def test_another_event_loop_is_answered_though_the_last_was_ended_with_questions_open(store: Slow) -> None:
    looks = Looks(store)

    async def leave() -> None:
        asyncio.create_task(looks.at("a"))  # noqa: RUF006 - it is meant to be lost
        await asyncio.sleep(0)

    asyncio.run(leave())
    store.may_answer.release(2)
    assert asyncio.run(looks.at("b")) == Placed(store.get("b"), 1)
