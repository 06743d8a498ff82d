"""Both clients: one job whatever happens on the way, and a result that appears whole or not at all."""

import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.shown.views import JobView
from service.jobs.memory.store import MemoryStore
from service.jobs.states import TERMINAL
from service.objects.s3 import S3Storage
from service.settings import Settings
from tests.client.conftest import Call
from tests.client.serving import RESULT, Busy, Counting, Flaky, fail, finish, jobs_of, working
from tests.service.api.harness import Service, running
from tests.service.api.samples import CLIP
from upscaled_client import (
    Client,
    Job,
    JobFailed,
    Refused,
    ResultDamaged,
    Unreachable,
    UpscaledError,
    Wanted,
    patience,
    records,
)


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(".*"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "large.mp4"


def test_submit_uploads_waits_and_downloads(
    service: Service, source: Path, target: Path, tmp_path: Path, call: Call
) -> None:
    sent: list[tuple[int, int]] = []
    seen: list[Job] = []
    with running(service.app) as server, working(service):
        job = call(
            server,
            "submit",
            source,
            target,
            {"scale": 2},
            on_sent=lambda done, total: sent.append((done, total)),
            on_job=seen.append,
        )
    assert target.read_bytes() == RESULT
    assert (job.state, job.options["scale"], job.filename) == ("succeeded", 2, "clip.mp4")
    assert (len(CLIP), len(CLIP)) in sent
    assert (0, 7) in [(each.progress.frames_done, each.progress.frames_total) for each in seen]
    assert leftovers(tmp_path) == []


def test_answers_that_get_lost_make_one_job_and_a_whole_result(
    service: Service, source: Path, target: Path, call: Call
) -> None:
    flaky = Flaky(service.app, losses=2)
    with running(flaky) as server, working(service):
        call(server, "submit", source, target)
    assert target.read_bytes() == RESULT
    assert len(flaky.ranges) == 2  # what had arrived was not sent again
    assert len(set(flaky.ranges)) == 2
    assert len(jobs_of(service)) == 1


def test_a_server_that_restarts_is_waited_for(
    service: Service, source: Path, target: Path, call: Call
) -> None:
    first = running(service.app)
    done = threading.Event()

    def send() -> None:
        call(f"http://127.0.0.1:{first.port}", "submit", source, target)
        done.set()

    sender = threading.Thread(target=send)
    with first:
        sender.start()
        while not jobs_of(service):
            time.sleep(0.01)
    time.sleep(0.2)
    assert not done.is_set()
    with running(service.app, first.port), working(service):
        sender.join(60)
    assert target.read_bytes() == RESULT


def test_the_events_of_a_job_are_followed_to_its_end_over_lines_that_break(
    service: Service, source: Path, call: Call
) -> None:
    with running(Flaky(service.app, losses=2)) as server:
        job = call(server, "upload", source)
        with working(service, pause_s=0.6):
            events = call(server, "events", job.id)
    assert {event.id for event in events} == {job.id}
    assert [event.is_over for event in events].count(True) == 1
    assert events[-1].state == "succeeded"


def test_an_upload_is_the_same_job_under_the_same_key(service: Service, source: Path, call: Call) -> None:
    with running(service.app) as server:
        first, second, other = (call(server, "upload", source, key=key) for key in ("a", "a", None))
    assert first == second
    assert other.id != first.id


def test_jobs_are_listed_looked_at_cancelled_and_deleted(service: Service, source: Path, call: Call) -> None:
    with running(service.app) as server:
        ids = [call(server, "upload", source).id for _ in range(3)]
        page = call(server, "jobs", limit=2)
        rest = call(server, "jobs", limit=2, cursor=page.next)
        assert {job.id for job in (*page.jobs, *rest.jobs)} == set(ids)
        assert call(server, "cancel", ids[0]).state == "cancelled"
        assert call(server, "job", ids[0]).is_over
        assert call(server, "wait", ids[0]).state == "cancelled"
        with pytest.raises(JobFailed, match="cancelled"):
            call(server, "download", call(server, "job", ids[0]), source.with_name("none.mp4"))
        for _ in range(2):  # as when the first answer got lost
            call(server, "delete", ids[0])
        with pytest.raises(Refused, match="no such job"):
            call(server, "job", ids[0])


def test_jobs_are_found_again_by_what_was_noted_with_them(service: Service, source: Path, call: Call) -> None:
    with running(service.app) as server:
        noted = [call(server, "upload", source, {"metadata": {"album": name}}) for name in ("été", "b")]
        assert [job.metadata for job in noted] == [{"album": "été"}, {"album": "b"}]
        call(server, "cancel", noted[1].id)
        long_ago = datetime(2001, 9, 9, tzinfo=UTC)
        for wanted, found in (
            (Wanted(metadata={"album": "été"}), noted[:1]),
            (Wanted(state=("cancelled", "failed")), noted[1:]),
            (Wanted(kind=("video",), created_after=long_ago), noted[::-1]),
            (Wanted(created_before=long_ago), []),
        ):
            page = call(server, "jobs", wanted)
            assert [job.id for job in page.jobs] == [job.id for job in found]


def test_a_job_is_made_again_from_the_same_upload(service: Service, source: Path, call: Call) -> None:
    with running(service.app) as server:
        first = call(server, "upload", source, {"codec": "hevc", "quality": 70})
        again, same = (call(server, "rerun", first.id, {"codec": "ffv1"}, key="k") for _ in range(2))
        assert again == same
        assert (again.options["codec"], again.options["quality"], again.sha256) == ("ffv1", 70, first.sha256)
        assert call(server, "rerun", first.id).options == first.options


@pytest.mark.parametrize("ending", ["/", "/v1", "/v1/", "/behind/a/proxy", "/behind/a/proxy/v1"])
def test_an_address_may_name_the_version_and_lie_behind_a_proxy(
    service: Service, source: Path, target: Path, ending: str, call: Call
) -> None:
    front = Starlette(routes=[Mount("/behind/a/proxy", service.app), Mount("/", service.app)])
    with running(front) as server, working(service):
        call(server + ending, "submit", source, target)
    assert target.read_bytes() == RESULT


def test_the_models_are_listed(service: Service, call: Call) -> None:
    with running(service.app) as server:
        models = call(server, "models")
    assert "bicubic" in {model.name for model in models}


def test_a_refusal_is_an_error_in_the_servers_words(
    service: Service, source: Path, target: Path, tmp_path: Path, call: Call
) -> None:
    with running(service.app) as server, pytest.raises(Refused, match="there is no model") as refused:
        call(server, "submit", source, target, {"model": "dreamer"})
    assert (refused.value.status, refused.value.type) == (422, "/problems/unknown_model")
    assert (refused.value.field, refused.value.value) == ("model", "dreamer")
    assert not target.exists()
    assert leftovers(tmp_path) == []


def test_a_job_that_fails_says_why(
    service: Service, source: Path, target: Path, tmp_path: Path, call: Call
) -> None:
    with (
        running(service.app) as server,
        working(service, fail),
        pytest.raises(JobFailed, match="there is only sound") as failed,
    ):
        call(server, "submit", source, target)
    assert failed.value.job.error is not None
    assert failed.value.job.error.code == "no_video"
    assert not target.exists()
    assert leftovers(tmp_path) == []


def test_a_result_that_arrives_changed_is_refused(
    service: Service, source: Path, target: Path, tmp_path: Path, call: Call
) -> None:
    with (
        running(service.app) as server,
        working(service, partial(finish, sha256="0" * 64)),
        pytest.raises(ResultDamaged, match="not what the server made"),
    ):
        call(server, "submit", source, target)
    assert not target.exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "nonsense", "ftp://example.org", "http://[::1"])
def test_a_server_that_is_not_there_is_an_error(
    source: Path, target: Path, server: str, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setattr(patience, "FIRST_PATIENCE_S", 0.2)
    with pytest.raises(Unreachable):
        call(server, "submit", source, target)


def test_a_server_of_another_kind_is_an_error(source: Path, call: Call) -> None:
    with (
        running(PlainTextResponse("It works!")) as server,
        pytest.raises(UpscaledError, match="no upscaled server"),
    ):
        call(server, "upload", source)


def test_a_server_that_says_when_to_come_again_is_left_alone_until_then(service: Service, call: Call) -> None:
    busy = Busy(service.app, times=1, retry_after="1")
    with running(busy) as server:
        call(server, "models")
    first, second = busy.asked_at
    assert second - first >= 1


def test_a_server_that_stays_busy_is_given_up_with_its_own_words(service: Service, call: Call) -> None:
    busy = Busy(service.app, times=100, retry_after="3600")
    with running(busy) as server, pytest.raises(Unreachable, match="HTTP 503"):
        call(server, "models")
    assert len(busy.asked_at) == 1  # waiting would have been in vain


def test_a_job_that_was_broken_off_is_gone_on_with(
    service: Service, source: Path, target: Path, tmp_path: Path, call: Call
) -> None:
    def break_off(_job: Job) -> None:
        raise KeyboardInterrupt

    counting = Counting(service.app)
    with running(counting) as server:
        with pytest.raises(KeyboardInterrupt):
            call(server, "submit", source, target, on_job=break_off)
        assert [path.name for path in leftovers(tmp_path)] == [".large.mp4.upscaled"]
        with working(service):
            call(server, "submit", source, target)
    assert target.read_bytes() == RESULT
    assert counting.asked.count("POST /v1/upscale") == 1
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("change", ["options", "source", "cancelled", "deleted"])
def test_what_is_not_the_same_any_more_begins_anew(
    service: Service, source: Path, target: Path, change: str, call: Call
) -> None:
    def break_off(_job: Job) -> None:
        raise KeyboardInterrupt

    with running(service.app) as server:
        with pytest.raises(KeyboardInterrupt):
            call(server, "submit", source, target, on_job=break_off)
        [job] = jobs_of(service)
        if change == "source":
            source.write_bytes(CLIP + b"more")
        elif change == "cancelled":
            call(server, "cancel", job.id)
        elif change == "deleted":
            call(server, "delete", job.id)
        with working(service):
            call(server, "submit", source, target, {"scale": 2} if change == "options" else None)
    assert jobs_of(service)[0].id != job.id
    assert leftovers(target.parent) == []


class Elsewhere:
    """ASGI around an application: results are fetched from `place`."""

    def __init__(self, app: ASGIApp, place: str) -> None:
        self._app, self._place = app, place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["path"].endswith("/result"):
            app = RedirectResponse(f"{self._place}/file?signature=a%2Fb", status_code=307)
        await app(scope, receive, send)


class Files:
    """ASGI of a storage: sends the result, cut off at first, and remembers who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["query_string"].decode(), headers))
        start = int(headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        length = {"Content-Length": str(len(RESULT) - start)}
        answer = Response(RESULT[start:], status_code=206 if start else 200, headers=length)
        if len(self.asked) == 1:
            await send({"type": "http.response.start", "status": 200, "headers": answer.raw_headers})
            await send({"type": "http.response.body", "body": RESULT[:1000], "more_body": True})
            raise ConnectionResetError("the line is cut")
        await answer(scope, receive, send)


@pytest.mark.parametrize("secret", ["password", "key"])
def test_a_result_that_lies_elsewhere_is_fetched_there_without_telling_our_secrets(
    service: Service, source: Path, target: Path, secret: str, call: Call
) -> None:
    files = Files()
    with running(files) as place:
        front = Counting(Elsewhere(service.app, place))
        with running(front) as server, working(service):
            if secret == "key":
                call(server, "submit", source, target, how={"key": "secret"})
            else:
                call(server.replace("//", "//me:secret@"), "submit", source, target)
    assert target.read_bytes() == RESULT
    assert len(front.authorizations) == 1  # the server itself was told, each time
    assert [headers.get("range") for _, headers in files.asked] == [None, "bytes=1000-"]
    for query, headers in files.asked:
        assert query == "signature=a%2Fb"
        assert headers.keys() <= {"host", "accept", "accept-encoding", "connection", "user-agent", "range"}
        assert "secret" not in str(headers)


def test_a_result_in_s3_is_fetched_from_there(
    public_s3_storage: S3Storage, source: Path, tmp_path: Path, target: Path, call: Call
) -> None:
    store = MemoryStore(lease_s=15, attempts_max=4)
    store.mark_complete(store.epoch())
    service = Service(Settings(data_dir=tmp_path / "data"), store, public_s3_storage)
    with running(service.app) as server, working(service):
        call(server, "submit", source, target)
    assert target.read_bytes() == RESULT


def test_the_key_is_taken_from_the_environment_and_sent_as_bearer(
    service: Service, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setenv("UPSCALED_KEY", "from-the-environment")
    counting = Counting(service.app)
    with running(counting) as server:
        call(server, "models")
        call(server, "models", how={"key": "given"})
    assert counting.authorizations == {b"Bearer from-the-environment", b"Bearer given"}
    Settings()  # a server's settings may stand in the same environment


def test_a_key_and_a_password_at_once_are_refused_and_neither_is_shown() -> None:
    with pytest.raises(
        ValueError, match=r"both a key and a password in the server's address: example\.org"
    ) as refused:
        Client("http://me:secret@example.org", key="hidden")
    assert "secret" not in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_errors_do_not_show_a_password(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PATIENCE_S", 0.0)
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1: ") as unreachable:
        call("http://me:secret@127.0.0.1:1", "models")
    assert "secret" not in str(unreachable.value)


def test_the_records_are_those_of_the_server() -> None:
    assert set(records.Job.model_fields) <= set(JobView.model_fields)
    assert {state.value for state in TERMINAL} == records.OVER


def test_a_field_that_a_newer_server_adds_is_passed_over(service: Service, source: Path) -> None:
    with running(service.app) as server, source.open("rb") as file:
        sent = httpx.post(f"{server}/upscale", files={"file": ("clip.mp4", file)}).json()
    assert Job.model_validate({**sent, "mood": "good"}).id == sent["id"]
