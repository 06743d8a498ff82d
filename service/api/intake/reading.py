"""Intake: one upload from its first byte to a whole object in storage, with no more than chunks in memory.

Everything that can be refused is refused at the first byte that shows it. Whatever goes wrong (a limit, a
client that goes away, storage that fails) leaves no object behind. Not here: HTTP's answer and the job
(routes/uploads.py). Start reading at `receive`.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from anyio import CancelScope
from starlette.requests import ClientDisconnect

from service.animated import is_animated
from service.api.dependencies import in_thread
from service.api.intake.fields import Fields
from service.api.intake.multipart import FormReader, PartData, PartEnd, PartStart
from service.api.intake.signatures import SNIFF_BYTES, Kind, picture_size, sniff
from service.errors import (
    EmptyUpload,
    FrameTooLarge,
    InvalidOption,
    NotMedia,
    StorageUnavailable,
    UnsupportedMedia,
    UploadTooLarge,
    UploadTruncated,
)
from service.formats import PICTURES, MediaKind
from service.jobs.model import Handling, Options
from service.objects.base import CHUNK_BYTES, Storage, Writer

IDLE_S_MAX = 60.0  # a client that sends next to nothing for so long is gone
IDLE_BYTES_MIN = 64 * 1024  # more than next to nothing: 9 kbit/s
FILENAME_CHARS_MAX = 200
FORM_BYTES_MAX = 64 * 1024  # boundaries, headers and options around the file
HEADER_BYTES = 64 * 1024  # one read of a picture's header; metadata beyond it costs another

Check = Callable[
    [str, object], None
]  # told each field and its value as they come; raises the InputError that fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came in; the bytes lie in storage."""

    kind: MediaKind
    filename: str
    size_bytes: int
    sha256: str
    options: Options
    handling: Handling


async def receive(
    body: AsyncIterator[bytes],
    content_type: str,
    *,
    storage: Storage,
    key: str,
    upload_bytes_max: int,
    pixels_max: int,
    check: Check,
) -> Received:
    """Stream the form's file to `key` and return what it is.

    Raises the InputError that fits, or StorageUnavailable; then nothing is left under the key.
    """
    reader = FormReader(content_type)
    form = _Form(upload_bytes_max)
    writer = await in_thread(storage.writer, key)
    received_bytes = 0
    try:
        async for chunk in _until_idle(body):
            received_bytes += len(chunk)
            if received_bytes > upload_bytes_max + FORM_BYTES_MAX:  # such as an endless epilogue
                raise too_large(upload_bytes_max)
            for event in reader.feed(chunk):
                match event:
                    case PartStart(name, filename):
                        form.begin(name, filename)
                    case PartData(data):
                        form.take(data)
                    case PartEnd():
                        await form.end(check)
            if len(form.pending) >= CHUNK_BYTES:
                await in_thread(form.flush, writer)
        reader.finish()
        form.finish()
        await in_thread(form.flush, writer)
        await in_thread(writer.commit)
        kind = await in_thread(_media_kind, storage, key, form, pixels_max)
        form.fields.options.check_fit(kind)
    except BaseException:
        # Shielded: a server that shuts down cancels us, and must not leave half an upload.
        with CancelScope(shield=True), suppress(StorageUnavailable):
            await in_thread(writer.abort)
            await in_thread(storage.delete, key)
        raise
    return form.received(kind)


class _Form:
    """The parts of one form as they come: at most one file, each option at most once."""

    def __init__(self, upload_bytes_max: int) -> None:
        self.pending = bytearray()  # file bytes not yet written
        self.kind: Kind | None = None
        self._upload_bytes_max = upload_bytes_max
        self._part: str | None = None
        self._value = bytearray()  # of the option being read
        self.fields = Fields()
        self._filename: str | None = None
        self._head = bytearray()
        self._size_bytes = 0
        self._digest = hashlib.sha256()

    def begin(self, name: str, filename: str | None) -> None:
        if name == "file":
            if self._filename is not None:
                raise InvalidOption("one upload carries one file", field="file", value=filename)
            self._filename = _plain_name(filename)
        else:
            self.fields.begin(name)
        self._part = name
        self._value.clear()

    def take(self, data: bytes) -> None:
        if self._part != "file":
            self._value += data
            assert self._part is not None
            self.fields.check_length(self._part, self._value)
            return
        self._size_bytes += len(data)
        if self._size_bytes > self._upload_bytes_max:
            raise too_large(self._upload_bytes_max)
        self.pending += data
        if self.kind is None:
            self._head += data[:SNIFF_BYTES]
            if len(self._head) >= SNIFF_BYTES:
                self._know_kind()

    async def end(self, check: Check) -> None:
        name, self._part = self._part, None
        assert name is not None
        if name == "file":
            if self._size_bytes == 0:
                raise EmptyUpload("the file is empty", field="file", value=self._filename)
            if self.kind is None:
                self._know_kind()
        else:
            await in_thread(check, name, self.fields.take(name, bytes(self._value)))

    def finish(self) -> None:
        if self._filename is None:
            raise EmptyUpload("the form has no file; send one in the field `file`", field="file")

    def flush(self, writer: Writer) -> None:
        """Write and digest what has gathered; blocks, so it runs in a thread."""
        data = bytes(self.pending)
        self.pending.clear()
        self._digest.update(data)
        writer.write(data)

    def received(self, kind: MediaKind) -> Received:
        assert self._filename is not None
        return Received(
            kind=kind,
            filename=self._filename,
            size_bytes=self._size_bytes,
            sha256=self._digest.hexdigest(),
            options=self.fields.options,
            handling=self.fields.handling,
        )

    def _know_kind(self) -> None:
        self.kind = sniff(bytes(self._head))
        if self.kind is None:
            raise NotMedia(
                "the file begins like no video or picture that we read", field="file", value=self._filename
            )
        if self.kind == "heif":
            raise UnsupportedMedia("HEIF and AVIF pictures are not read", field="file", value=self._filename)


async def _until_idle(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
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


def _media_kind(storage: Storage, key: str, form: _Form, pixels_max: int) -> MediaKind:
    """What kind of job the stored file makes; refuses a picture that says it is too large."""
    if form.kind not in PICTURES:
        return "video"
    assert form.kind is not None
    read = _HeaderReader(storage, key).read
    size = picture_size(form.kind, read)
    if size is not None and size[0] * size[1] > pixels_max:
        shown = f"{size[0]}x{size[1]}"
        raise FrameTooLarge(
            f"the picture is {shown}, more than {pixels_max} pixels", field="file", value=shown
        )
    return "animation" if is_animated(form.kind, read) else "image"


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


def _plain_name(filename: str | None) -> str:
    """The last part of what the client calls the file, without control characters; shown, never a path."""
    name = PureWindowsPath(PurePosixPath(filename or "").name).name
    shown = "".join(character for character in name if character.isprintable())
    return shown[-FILENAME_CHARS_MAX:] or "upload"
