"""Storage: whole objects under keys. Two backends: files.py and s3.py, under one contract suite.

An object appears whole or not at all, under every way to write it. Keys are relative paths of plain names.
Not here: what the keys mean (service/jobs/keys.py). All trouble but a missing object is StorageUnavailable.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from service.errors import FaultError
from service.objects.growing import Growing

CHUNK_BYTES = 1024 * 1024  # one read or write; large enough that the call costs nothing beside the copy

_KEY = re.compile(r"(?!\.)[A-Za-z0-9._-]+(/(?!\.)[A-Za-z0-9._-]+)*")
_KEY_LENGTH_MAX = 512


OnChunk = Callable[[], object]  # called as the bytes of a large object come by, at least once a CHUNK_BYTES


def nothing() -> None:
    """For callers that need not hear how far it is."""


class NotFound(FaultError):  # a caller that can expect it catches it
    """There is no object under this key."""

    code = "object_missing"


class InvalidKey(FaultError):
    """A key that no caller of ours should make: it would leave the storage or hide in it."""

    code = "invalid_key"


class Writer(Protocol):
    """An object being written. `commit` makes it appear; leaving the `with` without one leaves nothing."""

    def write(self, data: bytes) -> None: ...

    def commit(self) -> None: ...

    def abort(self) -> None:
        """Throw away what was written; harmless after a commit."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Storage(Protocol):
    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        """Write or replace an object. If the chunks raise, nothing is left and the old object stays."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write only where nothing is; of many callers at once exactly one gets True."""

    def put_file(self, key: str, path: Path, *, on_chunk: OnChunk = nothing) -> None:
        """Write or replace an object with a file's bytes; nothing is left if `on_chunk` raises."""

    def copy(self, source: str, target: str) -> None:
        """Write or replace an object with another's bytes, without their passing through here where the
        storage can do that. Raises NotFound."""

    def writer(self, key: str) -> Writer:
        """For bytes that come by and by, such as an upload. One thread at a time."""

    def grow(self, key: str, token: str | None = None) -> Growing:
        """For an object that comes in many requests: begun, or found again by its token."""

    def get(self, key: str) -> bytes:
        """The whole object, for small ones. Raises NotFound."""

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes [start, stop) in chunks; a stop past the end is the end. Raises NotFound before any chunk."""

    def link(
        self, key: str, *, method: Literal["GET", "HEAD"], life_s: int, media_type: str, disposition: str
    ) -> str | None:
        """Where whoever has this address may fetch the object for a while; None: only through us.

        The answer there carries the media type and the disposition (Content-Type, Content-Disposition).
        """

    def fetch(self, key: str, path: Path, *, on_chunk: OnChunk = nothing) -> None:
        """Copy the object to a file, which appears whole or not at all. Raises NotFound."""

    def stat(self, key: str) -> int:
        """Size in bytes. Raises NotFound."""

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that begin with the prefix, in order."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object whose key begins with the prefix, which ends in a slash."""

    def discard_unfinished(self, prefix: str, older_than_s: float) -> int:
        """Free what writers of such keys left behind when they died; how many there were."""

    def free_bytes(self) -> int | None:
        """How much more fits; None where nobody knows, as in S3."""

    def ping(self) -> None:
        """Return when the storage takes a write."""


def chunks_of(path: Path, on_chunk: OnChunk = nothing) -> Iterator[bytes]:
    """A file's bytes; `on_chunk` is called before each read."""
    with path.open("rb") as file:
        while True:
            on_chunk()
            if not (chunk := file.read(CHUNK_BYTES)):
                return
            yield chunk


def check_key(key: str) -> str:
    """The key itself when it is a plain relative path; raises InvalidKey otherwise."""
    if len(key) > _KEY_LENGTH_MAX or not _KEY.fullmatch(key):
        raise InvalidKey(f"not a storage key: {key!r}", field="key", value=key)
    return key


def check_prefix(prefix: str) -> str:
    """A prefix to delete must end a folder name: deleting `jobs/1` must not take `jobs/12` with it."""
    if not prefix.endswith("/"):
        raise InvalidKey(f"not a prefix to delete: {prefix!r}", field="prefix", value=prefix)
    check_key(prefix.removesuffix("/"))
    return prefix
