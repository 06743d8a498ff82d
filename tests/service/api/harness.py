"""The API under test: the application with everything it was made of, in-process or behind a real server."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from service.api.app import create_app
from service.jobs.steps import Step
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.settings import Settings
from service.traces import OFF, Traces

LIMIT_BYTES = 200_000


class ListQueue:
    """Keeps what was sent, for the test to look at or to work off."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Step]] = []

    def enqueue(self, job_id: str, step: Step) -> None:
        self.sent.append((job_id, step))

    def depth(self) -> int:
        return len(self.sent)


@dataclass
class Service:
    """The application and everything it was made of."""

    settings: Settings
    store: JobStore
    storage: Storage
    queue: ListQueue = field(default_factory=ListQueue)

    @property
    def app(self) -> FastAPI:
        return self.traced(OFF)

    def traced(self, traces: Traces) -> FastAPI:
        return create_app(self.settings, self.store, self.storage, self.queue, traces)

    def objects(self) -> list[str]:
        return list(self.storage.list("jobs/"))

    def ask(self, method: str, path: str, **request: object) -> httpx.Response:
        """One request, in-process and without the lifespan, so that no sweeper runs beside the test."""

        async def send(http: httpx.AsyncClient) -> httpx.Response:
            return await http.request(method, path, **request)  # type: ignore[arg-type]

        return self.run(send)

    def run(
        self, send: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]], app: FastAPI | None = None
    ) -> httpx.Response:
        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(app or self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await send(http)

        return asyncio.run(main())


class running:  # noqa: N801 - reads as `with running(app)`
    """A uvicorn in a thread, on a free port; also restartable, for tests of clients that live through it."""

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_error: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
