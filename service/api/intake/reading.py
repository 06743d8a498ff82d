"""Intake: one form from its first byte to a whole object in storage, with no more than chunks in memory.

Whatever goes wrong (a limit, a client that goes away, storage that fails) leaves no object behind. Instead of
the file a form may say where it lies. Not here: the file's bytes (media.py), HTTP's answer and the job
(routes/uploads.py). Start reading at `receive`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

from anyio import CancelScope

from service.api.dependencies import in_thread
from service.api.intake.fields import SOURCES, Fields
from service.api.intake.media import Incoming, Stored, too_large, until_idle
from service.api.intake.multipart import FormReader, PartData, PartEnd, PartStart
from service.errors import EmptyUpload, InvalidOption, StorageUnavailable
from service.formats import MediaKind
from service.jobs.model import Handling, Options
from service.objects.base import CHUNK_BYTES, Storage

FORM_BYTES_MAX = 64 * 1024  # boundaries, headers and options around the file

# Told each field and its value as they come; raises the InputError that fits.
Check = Callable[[str, object], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came in; the bytes lie in storage."""

    kind: MediaKind
    filename: str
    size_bytes: int
    sha256: str
    options: Options
    handling: Handling

    @classmethod
    def of(cls, stored: Stored, options: Options, handling: Handling) -> Self:
        """Raises InvalidOption for options that don't fit this kind of file."""
        options.check_fit(stored.kind)
        return cls(
            kind=stored.kind,
            filename=stored.filename,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            options=options,
            handling=handling,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A form without a file, which says where that lies."""

    source: Literal["upload", "url"]
    value: str
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
) -> Received | Named:
    """Stream the form's file to `key` and return what it is.

    Raises the InputError that fits, or StorageUnavailable; then nothing is left under the key.
    """
    reader = FormReader(content_type)
    form = _Form(upload_bytes_max)
    writer = await in_thread(storage.writer, key)
    received_bytes = 0
    try:
        async for chunk in until_idle(body):
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
            if form.file is not None and len(form.file.pending) >= CHUNK_BYTES:
                await in_thread(form.file.flush, writer)
        reader.finish()
        if form.file is None:
            await in_thread(writer.abort)
            return form.named()
        await in_thread(form.file.flush, writer)
        await in_thread(writer.commit)
        stored = await in_thread(form.file.stored, storage, key, pixels_max=pixels_max)
        return Received.of(stored, form.fields.options, form.fields.handling)
    except BaseException:
        # Shielded: a server that shuts down cancels us, and must not leave half an upload.
        with CancelScope(shield=True), suppress(StorageUnavailable):
            await in_thread(writer.abort)
            await in_thread(storage.delete, key)
        raise


class _Form:
    """The parts of one form as they come: one file or where it lies, each option at most once."""

    def __init__(self, upload_bytes_max: int) -> None:
        self.fields = Fields()
        self.file: Incoming | None = None
        self._upload_bytes_max = upload_bytes_max
        self._part: str | None = None
        self._value = bytearray()  # of the field being read
        self._named: tuple[Literal["upload", "url"], str] | None = None

    def begin(self, name: str, filename: str | None) -> None:
        if name in SOURCES:
            if self.file is not None or self._named is not None:
                raise InvalidOption("one form carries one file", field=name, value=filename)
            if name == "file":
                self.file = Incoming(filename, field="file", bytes_max=self._upload_bytes_max)
        else:
            self.fields.begin(name)
        self._part = name
        self._value.clear()

    def take(self, data: bytes) -> None:
        assert self._part is not None
        if self._part == "file":
            assert self.file is not None
            self.file.take(data)
        else:
            self._value += data
            self.fields.check_length(self._part, self._value)

    async def end(self, check: Check) -> None:
        name, self._part = self._part, None
        assert name is not None
        match name:
            case "file":
                assert self.file is not None
                self.file.end()
            case "upload" | "url":
                self._named = (name, bytes(self._value).decode("utf-8", "replace"))
            case _:
                await in_thread(check, name, self.fields.take(name, bytes(self._value)))

    def named(self) -> Named:
        if self._named is None:
            message = "the form has no file; send one in `file`, or say in `upload` or `url` where it lies"
            raise EmptyUpload(message, field="file")
        source, value = self._named
        return Named(source=source, value=value, options=self.fields.options, handling=self.fields.handling)
