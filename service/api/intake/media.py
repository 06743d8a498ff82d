"""Media: the bytes of one file on their way into storage, and what kind of file they are.

Everything that can be refused is refused at the first byte that shows it. Not here: where they come from.
Start reading at `Incoming`.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from starlette.requests import ClientDisconnect

from service.animated import is_animated
from service.api.intake.signatures import SNIFF_BYTES, Kind, picture_size, sniff
from service.errors import (
    EmptyUpload,
    FrameTooLarge,
    NotMedia,
    UnsupportedMedia,
    UploadTooLarge,
    UploadTruncated,
)
from service.formats import PICTURES, MediaKind
from service.objects.base import Storage, Writer

IDLE_S_MAX = 60.0  # a client that sends next to nothing for so long is gone
IDLE_BYTES_MIN = 64 * 1024  # more than next to nothing: 9 kbit/s
FILENAME_CHARS_MAX = 200
HEADER_BYTES = 64 * 1024  # one read of a picture's header; metadata beyond it costs another


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that lies in storage."""

    kind: MediaKind
    filename: str
    size_bytes: int
    sha256: str


class Incoming:
    """The bytes of one file as they come."""

    def __init__(self, filename: str | None, *, field: str, bytes_max: int) -> None:
        """
        filename   as its sender calls it
        field      of the form, that the file came by
        """
        self.pending = bytearray()  # not yet written
        self.filename = plain_name(filename)
        self._field = field
        self._bytes_max = bytes_max
        self._kind: Kind | None = None
        self._head = bytearray()
        self._size_bytes = 0
        self._digest = hashlib.sha256()

    def take(self, data: bytes) -> None:
        """Raises UploadTooLarge, NotMedia, UnsupportedMedia."""
        self._size_bytes += len(data)
        if self._size_bytes > self._bytes_max:
            raise too_large(self._bytes_max)
        self.pending += data
        if self._kind is None:
            self._head += data[:SNIFF_BYTES]
            if len(self._head) >= SNIFF_BYTES:
                self._know_kind()

    def end(self) -> None:
        """Raises EmptyUpload, NotMedia, UnsupportedMedia."""
        if self._size_bytes == 0:
            raise EmptyUpload("the file is empty", field=self._field, value=self.filename)
        if self._kind is None:
            self._know_kind()

    def flush(self, writer: Writer | None) -> None:
        """Write and digest what has gathered; blocks, so it runs in a thread.

        writer   None when the bytes come from where they are to stay
        """
        data = bytes(self.pending)
        self.pending.clear()
        self._digest.update(data)
        if writer is not None:
            writer.write(data)

    def stored(self, storage: Storage, key: str, *, pixels_max: int) -> Stored:
        """What it is, now that all of it lies there. Raises FrameTooLarge. Blocks."""
        return Stored(
            kind=self._media_kind(storage, key, pixels_max),
            filename=self.filename,
            size_bytes=self._size_bytes,
            sha256=self._digest.hexdigest(),
        )

    def _know_kind(self) -> None:
        self._kind = sniff(bytes(self._head))
        if self._kind is None:
            message = "the file begins like no video or picture that we read"
            raise NotMedia(message, field=self._field, value=self.filename)
        if self._kind == "heif":
            raise UnsupportedMedia(
                "HEIC pictures are not read; AVIF and JPEG are", field=self._field, value=self.filename
            )

    def _media_kind(self, storage: Storage, key: str, pixels_max: int) -> MediaKind:
        """What kind of job it makes; refuses a picture that says it is too large."""
        assert self._kind is not None
        if self._kind not in PICTURES:
            return "video"
        read = _HeaderReader(storage, key).read
        size = picture_size(self._kind, read)
        if size is not None and size[0] * size[1] > pixels_max:
            shown = f"{size[0]}x{size[1]}"
            raise FrameTooLarge(
                f"the picture is {shown}, more than {pixels_max} pixels", field=self._field, value=shown
            )
        return "animation" if is_animated(self._kind, read) else "image"


async def until_idle(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body's chunks; a client that leaves, falls silent or nearly so is UploadTruncated."""
    now = asyncio.get_running_loop().time
    deadline, received_bytes = now() + IDLE_S_MAX, 0
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(body)
        except StopAsyncIteration:
            return
        except ClientDisconnect as gone:
            raise UploadTruncated("the client went away", field="file") from gone
        except TimeoutError as silent:
            message = f"next to nothing came for {IDLE_S_MAX:.0f} seconds"
            raise UploadTruncated(message, field="file") from silent
        received_bytes += len(chunk)
        if received_bytes >= IDLE_BYTES_MIN:
            deadline, received_bytes = now() + IDLE_S_MAX, 0
        yield chunk


def too_large(upload_bytes_max: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"an upload may have {upload_bytes_max} bytes", field="file", value=upload_bytes_max
    )


class _HeaderReader:
    """Random access to the start of an object by few, large reads."""

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self._key = key
        self._at = 0
        self._window = b""

    def read(self, start: int, stop: int) -> bytes:
        if not self._at <= start <= stop <= self._at + len(self._window):
            if start >= self._storage.stat(self._key):  # a header that points behind the end
                return b""
            self._at = start
            self._window = b"".join(self._storage.open(self._key, start, max(stop, start + HEADER_BYTES)))
        return self._window[start - self._at : stop - self._at]


def plain_name(filename: str | None) -> str:
    """The last part of what the client calls the file, without control characters; shown, never a path."""
    name = PureWindowsPath(PurePosixPath(filename or "").name).name
    shown = "".join(character for character in name if character.isprintable())
    return shown[-FILENAME_CHARS_MAX:] or "upload"
