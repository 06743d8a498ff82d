"""Pieces: a large file by tus 1.0, so that a cut costs a piece and not the file.

Where to go on the server says, so neither a lost answer nor a restart on either side sends anything twice.
"""

import base64
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx

from upscaled_client.effects import Exchange, Send
from upscaled_client.errors import Refused, UpscaledError

LARGE_BYTES: Final = 16 * 1024**2  # a smaller file goes in one request
PIECE_BYTES: Final = 8 * 1024**2  # what a cut may cost, and what is in memory; a part of the server's storage
_TUS: Final = {"Tus-Resumable": "1.0.0"}

OnBytes = Callable[[int, int], None]  # bytes that went over, and in all
Attempt = Callable[[], Exchange[httpx.Response]]


class Pieces:
    """One file on its way."""

    def __init__(
        self,
        source: Path,
        *,
        build: Callable[..., httpx.Request],
        until_answered: Callable[[Attempt], Exchange[httpx.Response]],
        on_sent: OnBytes,
    ) -> None:
        """
        build            a request to the server
        until_answered   repeats it while the server is away
        """
        self._source = source
        self._build = build
        self._until_answered = until_answered
        self._on_sent = on_sent
        self._size_bytes = source.stat().st_size
        self._offset: int | None = None  # None: the server is to be asked

    def send(self, upload_id: str | None, on_begun: Callable[[str], None]) -> Exchange[str]:
        """Id of the upload, when all of it is there.

        upload_id   of one that was begun before
        on_begun    told the id as soon as there is one
        """
        if upload_id is None or not (yield from self._is_there(upload_id)):
            upload_id = yield from self._begin()
            on_begun(upload_id)
        path = f"/uploads/{upload_id}"
        while self._offset is None or self._offset < self._size_bytes:
            try:
                yield from self._until_answered(lambda: self._next(path))
            except Refused as error:
                if error.status != httpx.codes.CONFLICT:
                    raise
                self._offset = None
            else:
                self._on_sent(self._offset or 0, self._size_bytes)
        return upload_id

    def forget(self, upload_id: str) -> Exchange[None]:
        """A job has its own copy, so the server may let go of ours; it will by itself in a while."""
        request = self._build("DELETE", f"/uploads/{upload_id}", headers=_TUS)
        with suppress(httpx.TransportError):
            yield Send(request)

    def _begin(self) -> Exchange[str]:
        name = base64.b64encode(self._source.name.encode("utf-8", "replace")).decode()
        headers = {
            **_TUS,
            "Upload-Length": str(self._size_bytes),
            "Upload-Metadata": f"filename {name}",
        }
        request = self._build("POST", "/uploads", headers=headers)
        answer = yield from self._until_answered(lambda: (yield Send(request)))
        self._offset = 0
        return str(answer.headers["location"]).rpartition("/")[2]

    def _is_there(self, upload_id: str) -> Exchange[bool]:
        try:
            answer = yield from self._until_answered(lambda: self._ask(f"/uploads/{upload_id}"))
        except Refused as error:
            if error.status not in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
                raise
            return False
        self._take_offset(answer)
        return True

    def _ask(self, path: str) -> Exchange[httpx.Response]:
        answer: httpx.Response = yield Send(self._build("HEAD", path, headers=_TUS))
        return answer

    def _next(self, path: str) -> Exchange[httpx.Response]:
        """One piece; after an attempt that got no answer from where the server says."""
        if self._offset is None:
            answer: httpx.Response = yield from self._ask(path)
            if not answer.is_success:
                return answer
            self._take_offset(answer)
        offset, self._offset = self._offset, None
        with self._source.open("rb") as file:
            file.seek(offset or 0)
            piece = file.read(PIECE_BYTES)
        headers = {
            **_TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
        }
        answer = yield Send(self._build("PATCH", path, content=piece, headers=headers))
        if answer.is_success:
            self._take_offset(answer)
        return answer

    def _take_offset(self, answer: httpx.Response) -> None:
        said: Any = answer.headers.get("upload-offset", "")
        if not said.isdecimal():
            raise UpscaledError("this is no upscaled server: it does not say how much of an upload it has")
        self._offset = int(said)
