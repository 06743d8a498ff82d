"""Looking at jobs, following them, cancelling and deleting them."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import pytest

from service.api.routes import events
from service.errors import StoreUnavailable
from service.jobs import keys, manifest
from service.jobs.ending import end
from service.jobs.ids import new_job_id
from service.jobs.states import JobEvent, JobState
from service.jobs.steps import segment_step
from tests.service.api.harness import Service, running
from tests.service.api.samples import begin, stored_job, succeed


def test_an_unfinished_job_shows_its_progress_and_when_to_look_again(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a", frames_total=10)
    lease = service.store.acquire("a", segment_step(0), "worker")
    assert lease is not None
    service.store.renew(lease, frames_done=4)

    answer = service.ask("GET", "/jobs/a")
    job = answer.json()
    assert (answer.status_code, job["state"]) == (200, "running")
    progress = {"frames_done": 4, "frames_total": 10, "ratio": 0.4}
    assert job["progress"] == progress | {"frames_per_s": None, "remaining_s": None}  # too soon to tell
    assert job["links"] == {
        "self": "/jobs/a",
        "input": "/jobs/a/input",
        "events": "/jobs/a/events",
        "preview": "/jobs/a/preview",
        "result": None,
        "webhooks": None,
    }
    assert float(answer.headers["retry-after"]) > 0


def test_a_finished_job_shows_its_report_and_where_the_result_is(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    succeed(service.store, service.storage, "a", b"large")
    answer = service.ask("GET", "/jobs/a")
    job = answer.json()
    assert (job["state"], job["report"], job["links"]["result"]) == (
        "succeeded",
        {"frames_out": 10},
        "/jobs/a/result",
    )
    assert "retry-after" not in answer.headers


def test_where_an_object_lies_is_not_shown(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    succeed(service.store, service.storage, "a", b"large")
    assert "result_key" not in service.ask("GET", "/jobs/a").json()


def test_every_page_of_jobs_together_has_each_job_once_newest_first(service: Service) -> None:
    for number in range(5):
        stored_job(service.store, service.storage, f"job{number}")
    seen, cursor = [], None
    for _ in range(3):
        parameters = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = service.ask("GET", "/jobs", params=parameters).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next"]
    assert seen == ["job4", "job3", "job2", "job1", "job0"]
    assert cursor is None


@pytest.mark.parametrize("limit", ["0", "101", "many"])
def test_a_page_has_a_bounded_size(service: Service, limit: str) -> None:
    answer = service.ask("GET", "/jobs", params={"limit": limit})
    problem = answer.json()
    assert (answer.status_code, problem["field"], problem["value"]) == (422, "limit", limit)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("GET", "/result"),
        ("HEAD", "/result"),
        ("GET", "/preview"),
        ("GET", "/events"),
    ],
)
def test_an_unknown_job_is_404(service: Service, method: str, path: str) -> None:
    answer = service.ask(method, f"/jobs/nobody{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    if method != "HEAD":
        assert (answer.json()["type"], answer.json()["value"]) == ("/problems/unknown_job", "nobody")


# Cancelling and deleting


def test_cancelling_ends_an_unfinished_job_for_good(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    lease = service.store.acquire("a", segment_step(0), "worker")
    assert lease is not None

    for _ in range(2):
        assert service.ask("POST", "/jobs/a/cancel").json()["state"] == "cancelled"

    assert service.store.renew(lease) is False  # so the worker stops at its next frame
    assert manifest.load(service.storage, "a").job.state is JobState.CANCELLED  # and a rebuild knows


def test_cancelling_a_finished_job_leaves_it_its_result(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    succeed(service.store, service.storage, "a", b"large")
    answer = service.ask("POST", "/jobs/a/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert service.ask("GET", "/jobs/a/result").content == b"large"


@pytest.mark.parametrize("finished", [False, True])
def test_deleting_a_job_leaves_no_trace_of_it(service: Service, finished: bool) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    lease = service.store.acquire("a", segment_step(0), "worker")
    assert lease is not None
    if finished:
        succeed(service.store, service.storage, "a", b"large")

    answer = service.ask("DELETE", "/jobs/a")

    assert (answer.status_code, answer.content) == (204, b"")
    assert service.objects() == []
    assert service.store.renew(lease) is False
    assert service.ask("GET", "/jobs").json()["jobs"] == []
    for method in ("GET", "DELETE"):
        assert service.ask(method, "/jobs/a").status_code == 404


def test_deleting_goes_on_where_it_failed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_job(service.store, service.storage, "a")
    with monkeypatch.context() as patched:

        def away(_job_id: str) -> None:
            raise StoreUnavailable("restarting")

        patched.setattr(service.store, "delete", away)
        assert service.ask("DELETE", "/jobs/a").status_code == 503
    assert service.ask("DELETE", "/jobs/a").status_code == 204
    assert service.ask("GET", "/jobs/a").status_code == 404


@pytest.mark.parametrize("event", [JobEvent.FAIL, JobEvent.SUCCEED])
def test_a_job_that_ends_while_it_is_cancelled_keeps_that_end_and_its_result(
    service: Service, monkeypatch: pytest.MonkeyPatch, event: JobEvent
) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    service.store.transition("a", JobEvent.ASSEMBLY_STARTED)
    service.storage.put(keys.result_key("a", 1, "mp4"), b"large")
    now = service.store.now

    def ends_first() -> float:
        monkeypatch.setattr(service.store, "now", now)
        changes = {"result_key": keys.result_key("a", 1, "mp4")} if event is JobEvent.SUCCEED else {}
        end(service.store, service.storage, service.store.get("a"), event, **changes)
        return now()

    monkeypatch.setattr(service.store, "now", ends_first)
    answer = service.ask("POST", "/jobs/a/cancel")
    state = "failed" if event is JobEvent.FAIL else "succeeded"
    assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert manifest.load(service.storage, "a").job.state == state
    if event is JobEvent.SUCCEED:
        assert service.ask("GET", "/jobs/a/result").content == b"large"


def test_a_cancelled_upload_is_gone_at_once(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    service.storage.put(keys.part_key("a", 0, 1), b"part")
    service.ask("POST", "/jobs/a/cancel")
    assert service.objects() == [keys.ended_key("a"), keys.manifest_key("a")]


def test_many_who_cancel_one_job_at_once_all_hear_the_same(service: Service, server: str) -> None:
    for _ in range(5):
        job_id = new_job_id()
        stored_job(service.store, service.storage, job_id)
        begin(service.store, job_id)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _, i=job_id: httpx.post(f"{server}/jobs/{i}/cancel"), range(8)))
        assert {(answer.status_code, answer.json()["state"]) for answer in answers} == {(200, "cancelled")}


def test_many_who_delete_one_job_at_once_hear_that_it_is_gone(service: Service, server: str) -> None:
    for _ in range(5):
        job_id = new_job_id()
        stored_job(service.store, service.storage, job_id)
        begin(service.store, job_id)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _, i=job_id: httpx.delete(f"{server}/jobs/{i}"), range(8)))
        assert {answer.status_code for answer in answers} <= {204, 404}
        assert httpx.get(f"{server}/jobs/{job_id}").status_code == 404
        assert service.objects() == []


# Lost by the store


def test_a_job_that_the_store_forgot_answers_from_its_manifest(service: Service) -> None:
    done, waiting = new_job_id(), new_job_id()
    for job_id in (done, waiting):
        stored_job(service.store, service.storage, job_id)
    begin(service.store, done)
    service.store.transition(done, JobEvent.ASSEMBLY_STARTED)
    service.storage.put(keys.result_key(done, 1, "mp4"), b"large")
    job = service.store.get(done)
    end(service.store, service.storage, job, JobEvent.SUCCEED, result_key=keys.result_key(done, 1, "mp4"))
    for job_id in (done, waiting):
        service.store.delete(job_id)

    assert service.ask("GET", f"/jobs/{waiting}").json()["state"] == "queued"
    assert service.ask("GET", f"/jobs/{done}").json()["state"] == "succeeded"
    assert service.ask("GET", f"/jobs/{done}/result").content == b"large"
    assert [event["state"] for event in events_of(service.ask("GET", f"/jobs/{done}/events"))] == [
        "succeeded"
    ]
    assert service.ask("POST", f"/jobs/{waiting}/cancel").json()["state"] == "cancelled"
    assert service.store.get(waiting).state is JobState.CANCELLED


@pytest.mark.parametrize("name", ["..", ".hidden", "a b", "%00", "é" * 36, "A" * 36, "x" * 600])
def test_a_name_that_is_no_job_of_ours_is_404(service: Service, name: str) -> None:
    assert service.ask("GET", f"/jobs/{name}/result").status_code == 404


# Following


def events_of(answer: httpx.Response) -> Iterator[dict[str, object]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_events_follow_a_job_to_its_end(service: Service, server: str) -> None:
    stored_job(service.store, service.storage, "a")

    def work() -> None:
        time.sleep(0.3)
        begin(service.store, "a")
        time.sleep(0.6)
        succeed(service.store, service.storage, "a", b"large")

    worker = threading.Thread(target=work)
    with httpx.stream("GET", f"{server}/jobs/a/events", timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        worker.start()
        states = [str(event["state"]) for event in events_of(answer)]
    worker.join()
    assert list(dict.fromkeys(states)) == ["queued", "running", "succeeded"]
    assert states.count("succeeded") == 1


def test_events_repeat_at_least_once_a_second_when_nothing_changes(service: Service, server: str) -> None:
    stored_job(service.store, service.storage, "a")
    with httpx.stream("GET", f"{server}/jobs/a/events", timeout=10) as answer:
        arrivals = []
        for _ in events_of(answer):
            arrivals.append(time.monotonic())
            if len(arrivals) == 3:
                break
    assert max(b - a for a, b in pairwise(arrivals)) < 2.5


def test_events_of_a_job_that_has_ended_are_its_end(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    service.store.transition("a", JobEvent.CANCEL)
    answer = service.ask("GET", "/jobs/a/events")
    assert [event["state"] for event in events_of(answer)] == ["cancelled"]


def test_events_go_on_when_the_store_was_away(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "POLL_S", 0.01)
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
    answer = service.ask("GET", "/jobs/a/events")
    assert [event["state"] for event in events_of(answer)] == ["queued", "cancelled"]


def test_nobody_asks_the_store_for_a_listener_who_left(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_S", 0.01)
    stored_job(service.store, service.storage, "a")
    look, asked = service.store.look, []
    monkeypatch.setattr(service.store, "look", lambda job_ids: (asked.append(job_ids), look(job_ids))[1])
    with running(service.app) as server:
        with httpx.stream("GET", f"{server}/jobs/a/events") as answer:
            next(events_of(answer))
        time.sleep(0.2)
        seen = len(asked)
        time.sleep(0.2)
        assert len(asked) == seen


def test_events_end_when_the_server_stops(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    app = service.app

    async def main() -> httpx.Response:
        app.state.services.stopping.set()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
            return await asyncio.wait_for(http.get("/jobs/a/events"), 5)

    assert [event["state"] for event in events_of(asyncio.run(main()))] == ["queued"]


def test_no_more_follow_at_a_time_than_there_are_places_for(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    app = service.app
    app.state.services.followers.count_max = 2
    with running(app) as server:
        with contextlib.ExitStack() as stack:
            followed = []  # one that nobody holds any more would hang up
            for _ in range(2):
                stream = httpx.stream("GET", f"{server}/jobs/a/events", timeout=10)
                followed.append(events_of(stack.enter_context(stream)))
                next(followed[-1])
            answer = httpx.get(f"{server}/jobs/a/events")
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/too_busy")
        until = time.monotonic() + 5
        while app.state.services.followers.taken and time.monotonic() < until:
            time.sleep(0.01)
        with httpx.stream("GET", f"{server}/jobs/a/events", timeout=10) as again:
            assert again.status_code == 200
