"""The server that clients are tested against: the real API, and what stands in for workers and bad lines."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import IllegalTransition
from service.jobs import keys
from service.jobs.model import Job, JobError
from service.jobs.states import JobEvent
from tests.service.api.harness import Service
from tests.service.api.samples import begin

RESULT = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(RESULT).hexdigest()


def jobs_of(service: Service) -> list[Job]:
    return service.store.list(100)[0]


def finish(service: Service, job: Job, *, sha256: str = SHA256) -> None:
    key = keys.result_key(job.id, 1, "mp4")
    service.storage.put(key, RESULT)
    service.store.transition(job.id, JobEvent.ASSEMBLY_STARTED)
    service.store.transition(job.id, JobEvent.SUCCEED, result_key=key, report={"result_sha256": sha256})


def fail(service: Service, job: Job) -> None:
    error = JobError(code="no_video", message="there is only sound")
    service.store.transition(job.id, JobEvent.FAIL, error=error)


@contextlib.contextmanager
def working(
    service: Service, end: Callable[[Service, Job], None] = finish, *, pause_s: float = 0.1
) -> Iterator[None]:
    """A thread that does the workers' part of every job that is accepted."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.01):
            for job in [job for job in jobs_of(service) if not job.state.is_terminal]:
                with contextlib.suppress(IllegalTransition):  # cancelled meanwhile
                    begin(service.store, job.id, frames_total=7)
                    time.sleep(pause_s)
                    end(service, job)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


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


class Counting:
    """ASGI around an application: what was asked for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.asked: list[str] = []
        self.authorizations: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(f"{scope['method']} {scope['path']}")
        self.authorizations |= {value for name, value in scope["headers"] if name == b"authorization"}
        await self._app(scope, receive, send)


class Busy:
    """ASGI around an application: at first it has no time, and says when it may have."""

    def __init__(self, app: ASGIApp, *, times: int, retry_after: str) -> None:
        self._app, self._left, self._retry_after = app, times, retry_after
        self.asked_at: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked_at.append(time.monotonic())
        if not self._left:
            await self._app(scope, receive, send)
            return
        self._left -= 1
        headers = [(b"retry-after", self._retry_after.encode())]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
