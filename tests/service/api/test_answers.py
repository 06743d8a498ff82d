"""`Prefer: wait=N`: an answer that comes when the job is over, or when the time is."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.errors import StoreUnavailable
from service.jobs.states import JobEvent
from tests.service.api.harness import ListQueue, Service, running
from tests.service.api.samples import CLIP, begin, stored_job, succeed


@contextmanager
def later(seconds: float, act: object) -> Iterator[None]:
    timer = threading.Timer(seconds, act)  # type: ignore[arg-type]
    timer.start()
    yield
    timer.join()


def test_an_answer_waits_for_the_end_of_its_job(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    with later(0.4, lambda: service.store.transition("a", JobEvent.CANCEL)):
        answer = service.ask("GET", "/jobs/a", headers={"Prefer": "wait=30"})
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert answer.headers["preference-applied"] == "wait=30"
    assert "retry-after" not in answer.headers


def test_an_answer_waits_no_longer_than_was_asked(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    began_at = time.monotonic()
    answer = service.ask("GET", "/jobs/a", headers={"Prefer": "respond-async, wait=1"})
    assert 1 <= time.monotonic() - began_at < 10
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert (answer.headers["preference-applied"], answer.headers["retry-after"]) == ("wait=1", "1")


class Worker(ListQueue):
    """Ends each job a moment later."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def enqueue(self, job_id: str, step: str) -> None:
        def work() -> None:
            begin(self._service.store, job_id)
            succeed(self._service.store, self._service.storage, job_id, b"large")

        threading.Timer(0.3, work).start()


def test_an_upload_is_answered_with_its_finished_job(service: Service) -> None:
    service.queue = Worker(service)
    upload = {"files": {"file": ("a.mp4", CLIP)}, "headers": {"Prefer": "wait=30", "Idempotency-Key": "k"}}
    for _ in range(2):
        answer = service.ask("POST", "/upscale", **upload)
        assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
        assert answer.headers["location"] == answer.json()["links"]["self"]
        assert answer.headers["preference-applied"] == "wait=30"
    rerun = service.ask("POST", f"{answer.headers['location']}/rerun", headers={"Prefer": "wait=30"})
    assert (rerun.status_code, rerun.json()["state"]) == (200, "succeeded")


def test_an_upload_that_is_not_done_in_time_is_answered_as_without_waiting(service: Service) -> None:
    answer = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


@pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=soon", "await=9", "return=minimal", "wait=-1", ""])
def test_what_asks_for_no_waiting_is_answered_at_once(service: Service, prefer: str) -> None:
    stored_job(service.store, service.storage, "a")
    answer = service.ask("GET", "/jobs/a", headers={"Prefer": prefer})
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize("prefer", ['wait="7"', "Wait = 7", "foo; bar, wait=7;x", "wait=7"])
def test_a_wait_is_understood_in_every_spelling(service: Service, prefer: str) -> None:
    stored_job(service.store, service.storage, "a")
    service.store.transition("a", JobEvent.CANCEL)
    answer = service.ask("GET", "/jobs/a", headers={"Prefer": prefer})
    assert answer.headers["preference-applied"] == "wait=7"


def test_an_hour_is_too_long_to_wait(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    service.store.transition("a", JobEvent.CANCEL)
    answer = service.ask("GET", "/jobs/a", headers={"Prefer": "wait=3600"})
    assert answer.headers["preference-applied"] == "wait=60"


def test_where_too_many_wait_the_answer_comes_at_once(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    app = service.app
    app.state.services.followers.count_max = 0
    with running(app) as server:
        answer = httpx.get(f"{server}/jobs/a", headers={"Prefer": "wait=30"})
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


def test_waiting_lives_through_a_store_that_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_job(service.store, service.storage, "a")
    look, asked = service.store.look, []

    def sometimes(job_ids: list[str]) -> object:
        asked.append(job_ids)
        if len(asked) == 2:
            raise StoreUnavailable("restarting")
        if len(asked) == 3:
            service.store.transition("a", JobEvent.CANCEL)
        return look(job_ids)

    monkeypatch.setattr(service.store, "look", sometimes)
    assert service.ask("GET", "/jobs/a", headers={"Prefer": "wait=30"}).json()["state"] == "cancelled"


def test_nobody_asks_the_store_for_one_who_left(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_job(service.store, service.storage, "a")
    app = service.app
    with running(app) as server:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{server}/jobs/a", headers={"Prefer": "wait=30"}, timeout=0.5)
        until = time.monotonic() + 5
        while app.state.services.followers.taken and time.monotonic() < until:
            time.sleep(0.01)
        assert app.state.services.followers.taken == 0
