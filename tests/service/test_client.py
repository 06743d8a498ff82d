"""submit: one job whatever happens on the way, and a result that appears whole or not at all."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import client
from service.client import SubmitError, submit
from service.jobs import keys
from service.jobs.memory import MemoryStore
from service.jobs.model import JobError
from service.jobs.states import JobEvent
from service.objects.files import FileStorage
from service.objects.s3 import S3Storage
from service.settings import Settings
from tests.service.api.harness import Service, running
from tests.service.api.samples import CLIP, begin

RESULT = bytes(range(256)) * 4000  # 1 MB


@pytest.fixture
def service(tmp_path: Path) -> Service:
    settings = Settings(data_dir=tmp_path / "data")
    return Service(settings, MemoryStore(lease_s=15, attempts_max=4), FileStorage(settings.objects_dir))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP)
    return path


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "POLL_S", 0.02)
    monkeypatch.setattr(client, "RETRY_S_FIRST", 0.02)


def finish(service: Service, *, sha256: str = hashlib.sha256(RESULT).hexdigest()) -> None:
    (job,), _ = service.store.list(10)
    key = keys.result_key(job.id, 1, "mp4")
    service.storage.put(key, RESULT)
    service.store.transition(job.id, JobEvent.ASSEMBLY_STARTED)
    service.store.transition(job.id, JobEvent.SUCCEED, result_key=key, report={"result_sha256": sha256})


def fail(service: Service) -> None:
    (job,), _ = service.store.list(10)
    error = JobError(code="no_video", message="there is only sound")
    service.store.transition(job.id, JobEvent.FAIL, error=error)


class working:  # noqa: N801 - reads as `with working(service)`
    """A thread that does the workers' part as soon as a job was accepted."""

    def __init__(self, service: Service, end: object = finish, **how: object) -> None:
        self._service, self._end, self._how = service, end, how
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._thread.join()

    def _work(self) -> None:
        while not (jobs := self._service.store.list(10)[0]):
            time.sleep(0.01)
        begin(self._service.store, jobs[0].id, frames_total=7)
        time.sleep(0.1)
        self._end(self._service, **self._how)  # type: ignore[operator]


class Flaky:
    """ASGI around an application: the first answers of each kind of request are lost on the way."""

    def __init__(self, app: ASGIApp, losses: int) -> None:
        self._app = app
        self._left: dict[str, int] = {}
        self._losses = losses
        self.ranges: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["method"] + scope["path"].rsplit("/", 1)[-1]
        left = self._left.setdefault(kind, self._losses)
        self.ranges += [value for name, value in scope["headers"] if name == b"range"]
        if left == 0:
            await self._app(scope, receive, send)
            return
        self._left[kind] = left - 1

        async def lost(message: Message) -> None:
            """Half of the first piece of the body comes through, then the line is cut."""
            if message["type"] == "http.response.start":
                await send(message)
            else:
                body = message["body"]
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                raise ConnectionResetError("the line is cut")

        await self._app(scope, receive, lost)


def leftovers(folder: Path) -> Iterator[Path]:
    return folder.glob(".*")


def test_submit_uploads_waits_and_downloads(service: Service, source: Path, tmp_path: Path) -> None:
    target, progress = tmp_path / "large.mp4", []
    with running(service.app) as server, working(service):
        job = submit(
            source,
            target,
            server=server,
            options={"scale": "2"},
            on_progress=lambda done, total: progress.append((done, total)),
        )
    assert target.read_bytes() == RESULT
    assert (job["options"]["scale"], job["filename"]) == (2, "clip.mp4")
    assert (0, 7) in progress
    assert list(leftovers(tmp_path)) == []


def test_answers_that_get_lost_make_one_job_and_a_whole_result(
    service: Service, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "large.mp4"
    flaky = Flaky(service.app, losses=2)
    with running(flaky) as server, working(service):
        submit(source, target, server=server, options={})
    assert target.read_bytes() == RESULT
    assert len(flaky.ranges) == 2  # what had arrived was not sent again
    assert len(set(flaky.ranges)) == 2
    assert len(service.store.list(10)[0]) == 1


def test_a_server_that_restarts_is_waited_for(service: Service, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "large.mp4"
    first = running(service.app)
    done = threading.Event()

    def send() -> None:
        submit(source, target, server=f"http://127.0.0.1:{first.port}", options={})
        done.set()

    sender = threading.Thread(target=send)
    with first:
        sender.start()
        while not service.store.list(10)[0]:
            time.sleep(0.01)
    time.sleep(0.2)
    assert not done.is_set()
    with running(service.app, first.port), working(service):
        sender.join(20)
    assert target.read_bytes() == RESULT


def test_a_refusal_is_an_error_in_the_servers_words(service: Service, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "large.mp4"
    with running(service.app) as server, pytest.raises(SubmitError, match="there is no model 'dreamer'"):
        submit(source, target, server=server, options={"model": "dreamer"})
    assert not target.exists()


def test_a_job_that_fails_says_why(service: Service, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "large.mp4"
    with (
        running(service.app) as server,
        working(service, fail),
        pytest.raises(SubmitError, match="there is only sound"),
    ):
        submit(source, target, server=server, options={})
    assert not target.exists()


def test_a_result_that_arrives_changed_is_refused(service: Service, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "large.mp4"
    with (
        running(service.app) as server,
        working(service, sha256="0" * 64),
        pytest.raises(SubmitError, match="not what the server made"),
    ):
        submit(source, target, server=server, options={})
    assert not target.exists()
    assert list(leftovers(tmp_path)) == []


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "nonsense", "ftp://example.org"])
def test_a_server_that_is_not_there_is_an_error(
    source: Path, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_PATIENCE_S", 0.2)
    with pytest.raises(SubmitError):
        submit(source, tmp_path / "large.mp4", server=server, options={})


class Elsewhere:
    """ASGI around an application: results are fetched from `place`."""

    def __init__(self, app: ASGIApp, place: str) -> None:
        self._app, self._place = app, place
        self.passwords: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passwords += [value for name, value in scope["headers"] if name == b"authorization"]
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


def test_a_result_that_lies_elsewhere_is_fetched_there_without_telling_our_secrets(
    service: Service, source: Path, tmp_path: Path
) -> None:
    target, files = tmp_path / "large.mp4", Files()
    with running(files) as place:
        front = Elsewhere(service.app, place)
        with running(front) as server, working(service):
            submit(source, target, server=server.replace("//", "//me:secret@"), options={})
    assert target.read_bytes() == RESULT
    assert front.passwords  # the server itself was told
    assert [headers.get("range") for _, headers in files.asked] == [None, "bytes=1000-"]
    for query, headers in files.asked:
        assert query == "signature=a%2Fb"
        assert headers.keys() <= {"host", "accept", "accept-encoding", "connection", "user-agent", "range"}
        assert "secret" not in str(headers)


def test_a_result_in_s3_is_fetched_from_there(
    public_s3_storage: S3Storage, source: Path, tmp_path: Path
) -> None:
    store = MemoryStore(lease_s=15, attempts_max=4)
    service = Service(Settings(data_dir=tmp_path / "data"), store, public_s3_storage)
    with running(service.app) as server, working(service):
        submit(source, tmp_path / "large.mp4", server=server, options={})
    assert (tmp_path / "large.mp4").read_bytes() == RESULT
