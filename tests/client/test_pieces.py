"""Large files, which go in pieces: a cut costs one of them, in one run of the client and in the next."""

import hashlib
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from service.command.submitting import Task, how_to_go_on
from service.uploads import records
from tests.client.conftest import Call
from tests.client.serving import RESULT, Counting, Flaky, jobs_of, working
from tests.service.api.harness import Service, running
from tests.service.api.samples import CLIP
from upscaled_client import Unreachable, pieces

PIECE_BYTES = 300


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LARGE_BYTES", 1000)
    monkeypatch.setattr(pieces, "PIECE_BYTES", PIECE_BYTES)


class Dying:
    """ASGI around an application: it is gone after so many pieces, until it is revived."""

    def __init__(self, app: ASGIApp, after: int) -> None:
        self._app = app
        self.left: float = after
        self.offsets: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "PATCH":
            self.left -= 1
            self.offsets.append(int(dict(scope["headers"])[b"upload-offset"]))
        if self.left >= 0:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_a_large_file_goes_in_pieces_and_nothing_is_left_of_them(
    service: Service, source: Path, tmp_path: Path, call: Call
) -> None:
    counting, sent = Counting(service.app), list[tuple[int, int]]()
    with running(counting) as server, working(service):
        job = call(
            server, "submit", source, tmp_path / "out.mp4", {"scale": 2}, on_sent=lambda *n: sent.append(n)
        )
    assert (tmp_path / "out.mp4").read_bytes() == RESULT
    assert (job.filename, job.options["scale"]) == ("clip.mp4", 2)
    assert job.sha256 == hashlib.sha256(CLIP).hexdigest()
    assert sent == [
        (min(at, len(CLIP)), len(CLIP)) for at in range(PIECE_BYTES, len(CLIP) + PIECE_BYTES, PIECE_BYTES)
    ]
    assert records.count(service.storage) == 0
    assert list(tmp_path.glob(".*")) == []
    assert not any(each.startswith("HEAD") for each in counting.asked)


def test_answers_that_get_lost_send_nothing_twice(
    service: Service, source: Path, tmp_path: Path, call: Call
) -> None:
    flaky = Flaky(service.app, losses=2)
    with running(flaky) as server, working(service):
        job = call(server, "submit", source, tmp_path / "out.mp4")
    assert job.sha256 == hashlib.sha256(CLIP).hexdigest()
    assert len(jobs_of(service)) == 1


def test_the_next_run_goes_on_where_the_last_was_cut(
    service: Service, source: Path, tmp_path: Path, call: Call
) -> None:
    target = tmp_path / "out.mp4"
    dying = Dying(service.app, after=3)
    with running(dying) as server:
        with pytest.raises(Unreachable):
            call(server, "submit", source, target, how={"patience_s": 0.1})
        assert "sends what is missing" in how_to_go_on([Task(source, target, "clip.mp4", {})])
        dying.left, dying.offsets = float("inf"), []
        with working(service):
            job = call(server, "submit", source, target)
    assert dying.offsets[0] == 3 * PIECE_BYTES
    assert job.sha256 == hashlib.sha256(CLIP).hexdigest()
    assert target.read_bytes() == RESULT
    assert records.count(service.storage) == 0


def test_an_upload_that_expired_meanwhile_is_begun_anew(
    service: Service, source: Path, tmp_path: Path, call: Call
) -> None:
    dying = Dying(service.app, after=3)
    with running(dying) as server:
        with pytest.raises(Unreachable):
            call(server, "submit", source, tmp_path / "out.mp4", how={"patience_s": 0.1})
        service.storage.delete_prefix("uploads/")
        dying.left, dying.offsets = float("inf"), []
        with working(service):
            call(server, "submit", source, tmp_path / "out.mp4")
    assert dying.offsets[0] == 0
    assert (tmp_path / "out.mp4").read_bytes() == RESULT


def test_two_who_send_one_upload_end_with_one_file(service: Service, source: Path, call: Call) -> None:
    """A note that is copied, say: who comes second is told where to go on."""

    class Racing:
        """Between a client's look and its piece another one has sent it."""

        def __init__(self, app: ASGIApp) -> None:
            self._app = app
            self.conflicts = 0

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] == "PATCH" and self.conflicts == 0:
                self.conflicts += 1
                storage = service.storage
                upload = records.load(storage, scope["path"].rpartition("/")[2])
                appending = records.growing(storage, upload).append(0)
                appending.write(CLIP[:PIECE_BYTES])
                appending.close()
            await self._app(scope, receive, send)

    with running(Racing(service.app)) as server:
        assert call(server, "upload", source).sha256 == hashlib.sha256(CLIP).hexdigest()
