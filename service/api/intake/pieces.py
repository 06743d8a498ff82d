"""Pieces: the body of one PATCH, on its way behind the bytes of an upload that are there.

What came before a cut is kept, unless there is a checksum: then the piece lies by itself until that was
compared, and joins the others as a whole. Nothing but chunks is held in memory.
"""

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from anyio import CancelScope

from service.api.dependencies import in_thread
from service.api.intake.media import until_idle
from service.api.problems.answering import PROBLEM_CONTENT
from service.api.problems.errors import BadRequest, ChecksumMismatch, OffsetConflict
from service.errors import StorageUnavailable, UploadTooLarge
from service.objects.base import CHUNK_BYTES, NotFound, Storage
from service.uploads import records
from service.uploads.records import Upload

ALGORITHMS: Final = ("sha1", "sha256")  # tus wants the first from every server
MISMATCH_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    ChecksumMismatch.http_status: {"description": "Checksum Mismatch", "content": PROBLEM_CONTENT}
}


@dataclass(frozen=True, slots=True)
class Checksum:
    algorithm: str
    digest: bytes

    @classmethod
    def read(cls, header: str | None) -> Self | None:
        """Raises BadRequest for another algorithm, as tus has it."""
        if header is None:
            return None
        algorithm, _, text = header.partition(" ")
        try:
            digest = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise BadRequest("the digest is no base64", field="Upload-Checksum", value=header) from error
        if algorithm not in ALGORITHMS:
            raise BadRequest(
                f"there are {' and '.join(ALGORITHMS)}", field="Upload-Checksum", value=algorithm
            )
        return cls(algorithm, digest)


def refuse_too_long(upload: Upload, stop: int) -> None:
    if stop > upload.size_bytes:
        raise UploadTooLarge(
            f"the upload was to have {upload.size_bytes} bytes", field="Upload-Length", value=stop
        )


async def receive(
    body: AsyncIterator[bytes], storage: Storage, upload: Upload, offset: int, checksum: Checksum | None
) -> int:
    """How many bytes are there when all of the piece is.

    Raises UploadTruncated when the client goes away, UploadTooLarge, ChecksumMismatch, OffsetConflict when
    another request was faster, StorageUnavailable.
    """
    chunks = _limited(until_idle(body), upload, offset)
    if offset == upload.size_bytes:  # nothing can follow, and the bytes may be in their place already
        async for _ in chunks:
            pass
        return offset
    try:
        if checksum is None:
            return await _append(chunks, storage, upload, offset)
        return await _append_checked(chunks, storage, upload, offset, checksum)
    except NotFound as error:
        raise OffsetConflict(
            "another request was faster; ask where to go on", field="Upload-Offset", value=offset
        ) from error


async def _limited(body: AsyncIterator[bytes], upload: Upload, offset: int) -> AsyncIterator[bytes]:
    async for chunk in body:
        offset += len(chunk)
        refuse_too_long(upload, offset)
        yield chunk


async def _append(chunks: AsyncIterator[bytes], storage: Storage, upload: Upload, offset: int) -> int:
    appending = await in_thread(records.growing(storage, upload).append, offset)
    pending = bytearray()

    def write() -> None:
        data = bytes(pending)
        pending.clear()
        appending.write(data)

    try:
        async for chunk in chunks:
            pending += chunk
            offset += len(chunk)
            if len(pending) >= CHUNK_BYTES:
                await in_thread(write)
    finally:
        with CancelScope(shield=True):  # whatever ended it: what came is kept
            try:
                await in_thread(write)
            finally:
                await in_thread(appending.close)
    return offset


async def _append_checked(
    chunks: AsyncIterator[bytes], storage: Storage, upload: Upload, offset: int, checksum: Checksum
) -> int:
    key = records.new_piece_key(upload.id)
    writer = await in_thread(storage.writer, key)
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False)
    try:
        async for chunk in chunks:
            digest.update(chunk)
            await in_thread(writer.write, chunk)
        if digest.digest() != checksum.digest:
            raise ChecksumMismatch(
                f"the {checksum.algorithm} of what came is another",
                field="Upload-Checksum",
                value=base64.b64encode(digest.digest()).decode(),
            )
        await in_thread(writer.commit)
        return await in_thread(_join, storage, upload, offset, key)
    finally:
        with CancelScope(shield=True), suppress(StorageUnavailable):  # what is left expires with the upload
            await in_thread(writer.abort)
            await in_thread(storage.delete, key)


def _join(storage: Storage, upload: Upload, offset: int, key: str) -> int:
    with closing(records.growing(storage, upload).append(offset)) as appending:
        for chunk in storage.open(key):
            appending.write(chunk)
            offset += len(chunk)
    return offset
