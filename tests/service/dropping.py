"""A proxy before Valkey that loses one reply: the server has done what was asked, and the client never hears.

Replies are told apart as the server sends them, one after each request; none of ours is sent in two pieces.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class DroppingProxy:
    """`drop(k)` loses the k-th reply from now on; `seen` counts them."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self._lock = threading.Lock()
        self.seen = 0
        self._drop_at = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self, k: int) -> None:
        with self._lock:
            self.seen, self._drop_at = 0, k

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            threading.Thread(target=self._forward, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, are_replies: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
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
