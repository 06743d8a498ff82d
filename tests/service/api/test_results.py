"""GET of a job's result: whole, in ranges, never before it is there; and of its upload."""

import httpx
import pytest

from service.jobs import keys
from service.jobs.ids import new_job_id
from service.jobs.memory.store import MemoryStore
from service.jobs.model import JobError
from service.jobs.states import JobEvent
from service.objects.s3 import S3Storage
from service.settings import Settings
from tests.service.api.harness import Service, running
from tests.service.api.samples import begin, stored_job, succeed

RESULT = bytes(range(256)) * 20  # 5120 bytes


@pytest.fixture
def finished(service: Service) -> Service:
    stored_job(service.store, service.storage, "a", filename="Höhle.mov")
    begin(service.store, "a")
    succeed(service.store, service.storage, "a", RESULT)
    return service


def get(service: Service, **headers: str) -> httpx.Response:
    return service.ask(
        "GET", "/jobs/a/result", headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


def test_the_result_comes_whole_with_its_type_and_name(finished: Service) -> None:
    answer = get(finished)
    assert (answer.status_code, answer.content) == (200, RESULT)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(RESULT))
    assert answer.headers["accept-ranges"] == "bytes"
    disposition = answer.headers["content-disposition"]
    assert disposition == "attachment; filename=\"H_hle_x4.mp4\"; filename*=UTF-8''H%C3%B6hle_x4.mp4"


@pytest.mark.parametrize(
    ("extension", "media_type"),
    [("mkv", "video/x-matroska"), ("jpg", "image/jpeg"), ("tif", "image/tiff"), ("png", "image/png")],
)
def test_each_kind_of_result_has_its_type(service: Service, extension: str, media_type: str) -> None:
    stored_job(service.store, service.storage, "a")
    begin(service.store, "a")
    succeed(service.store, service.storage, "a", RESULT, extension)
    answer = get(service)
    assert answer.headers["content-type"] == media_type
    assert f"_x4.{extension}" in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=5000-", 5000, 5120),
        ("bytes=-20", 5100, 5120),
        ("bytes=-9999", 0, 5120),
        ("bytes=5000-9999", 5000, 5120),
    ],
)
def test_a_range_is_206_and_says_where_it_lies(finished: Service, wanted: str, start: int, stop: int) -> None:
    answer = get(finished, range=wanted)
    assert (answer.status_code, answer.content) == (206, RESULT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/5120"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("wanted", ["bytes=5120-", "bytes=9000-9999", "bytes=-0"])
def test_a_range_past_the_end_is_416_and_tells_the_size(finished: Service, wanted: str) -> None:
    answer = get(finished, range=wanted)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */5120"
    assert (answer.json()["field"], answer.json()["value"]) == ("Range", wanted)


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "frames=1-2", "bytes=-", "bytes=9-1", "nonsense"])
def test_a_range_we_do_not_do_gives_the_whole(finished: Service, wanted: str) -> None:
    answer = get(finished, range=wanted)
    assert (answer.status_code, len(answer.content)) == (200, len(RESULT))


def test_a_range_of_another_result_gives_the_whole(finished: Service) -> None:
    etag = get(finished).headers["etag"]
    assert get(finished, range="bytes=0-9", if_range=etag).status_code == 206
    assert get(finished, range="bytes=0-9", if_range='"another"').status_code == 200


def test_an_unchanged_result_is_not_sent_again(finished: Service) -> None:
    etag = get(finished).headers["etag"]
    answer = get(finished, if_none_match=etag)
    assert (answer.status_code, answer.content) == (304, b"")
    assert get(finished, if_none_match='"another"').status_code == 200


def test_head_tells_the_same_without_the_bytes(finished: Service) -> None:
    head, whole = finished.ask("HEAD", "/jobs/a/result"), get(finished)
    assert (head.status_code, head.content) == (200, b"")
    del head.headers["x-request-id"], whole.headers["x-request-id"]
    assert dict(head.headers) == dict(whole.headers)


def test_a_result_that_is_not_there_yet_is_409(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    answer = get(service)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/job_not_finished")


def test_the_result_of_a_failed_job_says_why_there_is_none(service: Service) -> None:
    stored_job(service.store, service.storage, "a")
    service.store.transition("a", JobEvent.FAIL, error=JobError(code="no_video", message="it has only sound"))
    answer = get(service)
    assert (answer.status_code, answer.json()["value"]) == (409, "failed")
    assert "it has only sound" in answer.json()["detail"]


def test_a_result_whose_time_is_over_is_410(finished: Service) -> None:
    finished.store.transition("a", JobEvent.EXPIRE)
    assert get(finished).json()["type"] == "/problems/result_expired"


def test_a_result_that_was_just_removed_is_410(finished: Service) -> None:
    finished.storage.delete(keys.result_key("a", 1, "mp4"))
    assert get(finished).status_code == 410


def test_the_upload_comes_back_as_it_was(finished: Service) -> None:
    finished.storage.put(keys.input_key("a"), b"what was filmed")
    assert finished.ask("GET", "/jobs/a").json()["links"]["input"] == "/jobs/a/input"
    whole = finished.ask("GET", "/jobs/a/input")
    assert (whole.status_code, whole.content) == (200, b"what was filmed")
    assert 'filename="H_hle.mov"' in whole.headers["content-disposition"]
    part = finished.ask("GET", "/jobs/a/input", headers={"Range": "bytes=5-7"})
    assert (part.status_code, part.content) == (206, b"was")


def test_an_upload_that_was_removed_is_410(finished: Service) -> None:
    finished.store.transition("a", JobEvent.EXPIRE)
    assert finished.ask("GET", "/jobs/a").json()["links"]["input"] is None
    finished.storage.delete(keys.input_key("a"))
    assert finished.ask("GET", "/jobs/a/input").json()["type"] == "/problems/result_expired"


def test_a_large_result_comes_through_a_real_server(finished: Service, server: str) -> None:
    large = RESULT * 2000  # 10 MB
    finished.storage.put(keys.result_key("a", 1, "mp4"), large)
    assert httpx.get(f"{server}/jobs/a/result").content == large


# From a storage that clients reach


@pytest.fixture
def public(settings: Settings, public_s3_storage: S3Storage) -> tuple[Service, str]:
    """A service whose results lie in a real S3, and the id of a finished job there."""
    store = MemoryStore(lease_s=settings.lease_s, attempts_max=settings.attempts_max)
    service, job_id = Service(settings, store, public_s3_storage), new_job_id()
    stored_job(store, public_s3_storage, job_id, filename="Höhle.mov")
    begin(store, job_id)
    succeed(store, public_s3_storage, job_id, RESULT)
    return service, job_id


def test_a_result_in_reach_of_clients_is_fetched_there_as_it_would_be_here(
    public: tuple[Service, str], finished: Service
) -> None:
    service, job_id = public
    here = service.ask("GET", f"/jobs/{job_id}/result")
    assert (here.status_code, here.headers["cache-control"]) == (307, "no-store")
    there = httpx.get(here.headers["location"])
    assert (there.status_code, there.content) == (200, RESULT)
    streamed = get(finished)
    for name in ("content-type", "content-disposition", "content-length", "accept-ranges"):
        assert there.headers[name] == streamed.headers[name]


@pytest.mark.parametrize(
    ("wanted", "start", "stop"), [("bytes=100-199", 100, 200), ("bytes=5000-", 5000, 5120)]
)
def test_a_range_goes_along_to_where_the_result_is(
    public: tuple[Service, str], wanted: str, start: int, stop: int
) -> None:
    service, job_id = public
    with running(service.app) as server, httpx.Client(follow_redirects=True) as http:
        answer = http.get(f"{server}/jobs/{job_id}/result", headers={"Range": wanted})
        whole = http.head(f"{server}/jobs/{job_id}/result")
    assert (answer.status_code, answer.content) == (206, RESULT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/5120"
    assert (whole.status_code, whole.headers["content-length"]) == (200, "5120")
    assert whole.headers["etag"] == answer.headers["etag"]


def test_what_is_not_there_is_a_problem_and_no_redirect(public: tuple[Service, str]) -> None:
    service, job_id = public
    stored_job(service.store, service.storage, "unfinished")
    assert service.ask("GET", "/jobs/unfinished/result").status_code == 409
    service.store.transition(job_id, JobEvent.EXPIRE, result_key=None)
    assert service.ask("GET", f"/jobs/{job_id}/result").status_code == 410


@pytest.mark.parametrize("value", [f"bytes={'9' * 5000}-", f"bytes=0-{'9' * 5000}", "bytes=\u0661-"])
def test_a_range_that_is_none_is_passed_over(finished: Service, value: str) -> None:
    answer = finished.ask("GET", "/jobs/a/result", headers={"Range": value.encode()})
    assert answer.status_code == 200
