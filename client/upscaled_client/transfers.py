"""Transfers: a file on its way to the server, or from it, and who is told how far it is."""

import hashlib
import io
from pathlib import Path

import httpx

from upscaled_client.pieces import OnBytes


class Told(io.FileIO):
    """A file on its way out, which tells how far it is."""

    def __init__(self, path: Path, on_sent: OnBytes) -> None:
        super().__init__(path)
        self._on_sent = on_sent
        self._size_bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        self._on_sent(self.tell(), self._size_bytes)
        return data


class Receiving:
    """A file on its way in: what is there, its digest, and the range that is missing."""

    def __init__(self, file: io.BufferedWriter, on_received: OnBytes) -> None:
        self._file, self._on_received = file, on_received
        self._digest = hashlib.sha256()
        self._done = self._total = 0

    @property
    def range(self) -> dict[str, str]:
        return {"Range": f"bytes={self._done}-"} if self._done else {}

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def begin(self, answer: httpx.Response) -> None:
        if answer.status_code != httpx.codes.PARTIAL_CONTENT:  # whole, whatever we had asked for
            self._file.seek(0)
            self._file.truncate()
            self._digest, self._done = hashlib.sha256(), 0
        self._total = self._done + int(answer.headers.get("content-length", 0))

    def take(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self._done += len(chunk)
        self._on_received(self._done, self._total)
