"""What lies between a server and its clients and can go wrong: replies that get lost, lines that go silent,
an S3 that answers with errors, late, or without one permission.

Valkey's replies are told apart as the server sends them, one after each request; none of ours is sent in two
pieces.
"""

import http.client
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class DroppingProxy:
    """Before Valkey. `drop(k)` loses the k-th reply from now on: the server has done what was asked, and the
    client never hears. `seen` counts them. While `silent`, nothing comes through and no line is closed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{parts.port}/", f":{self._listener.getsockname()[1]}/")
        self._lock = threading.Lock()
        self.seen = 0
        self._drop_at = 0
        self._is_open = threading.Event()
        self._is_open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self, k: int) -> None:
        with self._lock:
            self.seen, self._drop_at = 0, k

    @contextmanager
    def silent(self) -> Iterator[None]:
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()

    def close(self) -> None:
        self._listener.close()
        self._is_open.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:  # the server is away: so are we
                client.close()
                continue
            threading.Thread(target=self._forward, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, are_replies: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                if not self._is_open.is_set():
                    self._is_open.wait()
                    break  # what was said meanwhile is lost
                if are_replies and self._is_lost():
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _is_lost(self) -> bool:
        with self._lock:
            self.seen += 1
            return self.seen == self._drop_at


@contextmanager
def dropping(url: str) -> Iterator[DroppingProxy]:
    proxy = DroppingProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


@dataclass(frozen=True)
class Fault:
    """What becomes of requests: held back, then answered with an error, if they are `of` these kinds."""

    status: int | None = None
    code: str = ""
    delay_s: float = 0.0
    of: frozenset[str] = frozenset({"GET", "PUT", "DELETE", "LIST"})


class S3Proxy:
    """Before S3, one request at a time, so that each can have its `fault`."""

    def __init__(self, url: str) -> None:
        self.fault: Fault | None = None
        self._is_open = threading.Event()
        self._is_open.set()
        self._server = urlsplit(url).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
                """A request is no event."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            self._answer(request)

        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            setattr(Handler, f"do_{method}", answer)
        self._http = _Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        self.fault = fault
        try:
            yield
        finally:
            self.fault = None

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Requests are taken and never answered."""
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()

    def close(self) -> None:
        self._is_open.set()
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        if not self._is_open.is_set():
            self._is_open.wait()
            request.close_connection = True
            return
        fault = self.fault
        if fault is not None and _kind_of(request) in fault.of:
            time.sleep(fault.delay_s)
            if fault.status is not None:
                _send(request, fault.status, {}, f"<Error><Code>{fault.code}</Code></Error>".encode())
                return
        try:
            self._forward(request, body)
        except (OSError, http.client.HTTPException):  # the server is away, or went away in mid-answer
            request.close_connection = True

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        connection = http.client.HTTPConnection(self._server, timeout=60)
        try:
            connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() != "expect":  # answered here
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            _send(request, answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that dies in mid-request is what we are here for."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _kind_of(request: BaseHTTPRequestHandler) -> str:
    """By the permission that it takes: GET, PUT, DELETE or LIST."""
    parts = urlsplit(request.path)
    if "list-type=" in parts.query:
        return "LIST"
    if request.command == "POST" and parts.query.startswith("delete"):
        return "DELETE"
    return {"HEAD": "GET", "POST": "PUT"}.get(request.command, request.command)


def _send(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    request.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
            request.send_header(name, value)
    length = next((value for name, value in headers.items() if name.lower() == "content-length"), len(body))
    request.send_header("Content-Length", str(length if request.command == "HEAD" else len(body)))
    request.end_headers()
    if request.command != "HEAD" and status not in {204, 304}:
        request.wfile.write(body)
