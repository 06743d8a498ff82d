"""GET /jobs/{id}/preview: what the worker stored last, asked for again and again."""

import pytest

from service.api.shown.views import Viewer
from service.jobs import keys
from service.jobs.model import Job
from service.jobs.states import JobEvent
from service.jobs.steps import segment_step
from tests.service.api.harness import Service
from tests.service.api.samples import begin, stored_job, succeed

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))


@pytest.fixture
def shown(service: Service) -> Service:
    """A running job whose worker stored a preview."""
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    service.storage.put(keys.preview_key("a"), JPEG)
    return service


def test_a_preview_is_a_jpeg_that_is_asked_for_each_time(shown: Service) -> None:
    answer = shown.ask("GET", "/jobs/a/preview")
    assert (answer.status_code, answer.content) == (200, JPEG)
    assert answer.headers["content-type"] == "image/jpeg"
    assert "no-cache" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_preview_is_sent_again_only_when_it_changed(shown: Service) -> None:
    etag = shown.ask("GET", "/jobs/a/preview").headers["etag"]
    again = shown.ask("GET", "/jobs/a/preview", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    shown.storage.put(keys.preview_key("a"), JPEG[::-1])
    changed = shown.ask("GET", "/jobs/a/preview", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.content) == (200, JPEG[::-1])


def test_what_the_frame_was_made_of_is_shown_beside_it(shown: Service) -> None:
    shown.storage.put(keys.pair_key("a"), JPEG * 2)
    answer = shown.ask("GET", "/jobs/a/preview?before=true")
    assert (answer.status_code, answer.content) == (200, JPEG * 2)
    assert answer.headers["etag"] != shown.ask("GET", "/jobs/a/preview").headers["etag"]


def test_a_frame_of_a_worker_that_made_no_pair_is_shown_alone(shown: Service) -> None:
    answer = shown.ask("GET", "/jobs/a/preview?before=true")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/no_preview")


def test_head_tells_the_same_without_the_bytes(shown: Service) -> None:
    head, whole = shown.ask("HEAD", "/jobs/a/preview"), shown.ask("GET", "/jobs/a/preview")
    assert (head.status_code, head.content) == (200, b"")
    del head.headers["x-request-id"], whole.headers["x-request-id"]
    assert dict(head.headers) == dict(whole.headers)


def test_a_job_without_a_finished_frame_has_no_preview(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    answer = service.ask("GET", "/jobs/a/preview")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (404, "/problems/no_preview")
    assert (problem["field"], problem["value"]) == ("state", "queued")


def test_an_unknown_job_is_another_404(service: Service) -> None:
    answer = service.ask("GET", "/jobs/nobody/preview")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown_job")


def test_a_preview_stays_with_the_result_and_goes_with_it(shown: Service) -> None:
    succeed(shown.store, shown.storage, "a", b"large")
    assert shown.ask("GET", "/jobs/a/preview").content == JPEG
    shown.store.transition("a", JobEvent.EXPIRE, result_key=None)
    answer = shown.ask("GET", "/jobs/a/preview")
    assert (answer.status_code, answer.json()["type"]) == (410, "/problems/result_expired")


def test_the_link_appears_with_the_first_frame_and_goes_with_the_result(service: Service) -> None:
    def link(job: Job) -> str | None:
        return Viewer("", 60.0).show(job).links.preview

    stored_job(service.store, service.storage, "a")
    begin(service.store, "a", frames_total=10)
    assert link(service.store.get("a")) is None
    lease = service.store.acquire("a", segment_step(0), "worker")
    assert lease is not None
    service.store.renew(lease, frames_done=1)
    assert link(service.store.get("a")) == "/jobs/a/preview"
    succeed(service.store, service.storage, "a", b"large")
    assert link(service.store.get("a")) == "/jobs/a/preview"
    service.store.transition("a", JobEvent.EXPIRE)
    assert link(service.store.get("a")) is None


def test_a_job_that_was_cancelled_half_way_has_no_link_to_what_went_with_it(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a", frames_total=10)
    lease = service.store.acquire("a", segment_step(0), "worker")
    assert lease is not None
    service.store.renew(lease, frames_done=1)
    service.store.transition("a", JobEvent.CANCEL)
    assert Viewer("", 60.0).show(service.store.get("a")).links.preview is None
