"""Whether this worker still does its work, and the small HTTP server that says so.

A stuck worker ends itself, because nothing outside can tell a long frame from a lost one: Celery's consumer
can stay alive and consume nothing after Redis came back, and a device can hang. Whoever started the process
starts it again; its leases run out and the steps go to others.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.errors import TransientError
from worker.job.context import WorkerContext
from worker.job.held import HAND_BACK_S

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
DEAF_S: Final = 45.0  # messages wait, a thread is free, and no step began for so long
GIVE_BACK_S: Final = HAND_BACK_S + 5.0  # as every step that is drained, and the store's answer
EXIT_STUCK: Final = 70  # EX_SOFTWARE


class Health:
    """Counts the steps at work and judges from that and from the engines."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._working = 0
        self._heard_at = time.monotonic()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around each task: a message was heard, and a thread is busy."""
        with self._lock:
            self._working += 1
            self._heard_at = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
                self._heard_at = time.monotonic()

    def trouble(self) -> str | None:
        """Why this process should be started again, or None."""
        for engine in self._context.models.engines():
            if (stuck_s := engine.stuck_s()) is not None:
                return f"an engine was not heard of for {stuck_s:.0f} s"
        with self._lock:
            has_room = self._working < self._context.settings.worker_streams
            silent_s = time.monotonic() - self._heard_at
        if has_room and silent_s > DEAF_S and self._messages_wait():
            return f"messages wait, but none was heard for {silent_s:.0f} s"
        return None

    def unready(self) -> str | None:
        """Why no job should be sent here now, or None."""
        if self._context.draining.is_set():
            return "draining"
        try:
            self._context.store.ping()
            self._context.storage.ping()
        except TransientError as error:
            return str(error)
        return self.trouble()

    def watch(self) -> None:
        """End the process when it is stuck, or when its device is gone; for a thread of its own."""
        while not self._context.draining.wait(LOOK_S):
            if reason := self.trouble():
                log.critical("worker_stuck", extra={"reason": reason})
                os._exit(EXIT_STUCK)  # a hung thread cannot be joined
        if self._context.device_gone.is_set():
            self._wait_for_steps()
            os._exit(EXIT_STUCK)  # nor can one that waits for such a device

    def _wait_for_steps(self) -> None:
        """Until every step has given its work back, or should have."""
        deadline = time.monotonic() + GIVE_BACK_S
        while self._working and time.monotonic() < deadline:
            time.sleep(0.05)

    def _messages_wait(self) -> bool:
        try:
            return self._context.queue.depth() > 0
        except TransientError:
            return False  # while the broker is away, hearing nothing is right


@contextmanager
def serve(address: tuple[str, int], health: Health) -> Iterator[None]:
    """/metrics, /healthz and /readyz of this worker at an address of their own, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                self._say(health.trouble())
            elif self.path == "/readyz":
                self._say(health.unready())
            else:
                self._answer(404, b"not found\n", "text/plain")

        def _say(self, reason: str | None) -> None:
            self._answer(200 if reason is None else 503, f"{reason or 'ok'}\n".encode(), "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
            """A scrape every few seconds is no event."""

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
