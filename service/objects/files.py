"""Storage in a folder, for one machine. A key is a path below it.

Bytes are written aside, synced and renamed, so a reader or a crash sees a whole object or none.
"""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from service.objects.base import CHUNK_BYTES, OnChunk, check_key, check_prefix, chunks_of, nothing
from service.objects.file_system import in_folder, unavailable, working
from service.objects.files_growing import FileGrowing

# Beside the objects, because a rename is only atomic within one file system. No key begins with a dot.
_ASIDE = ".aside"
_GROWING = ".growing"  # objects that are not finished, under their keys
# A file system that knows no second names, or no more of them for this file.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class FileStorage:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._aside = self._root / _ASIDE
        try:
            self._aside.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unavailable(error) from error

    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        with self.writer(key) as writer:
            for chunk in (data,) if isinstance(data, bytes) else data:
                writer.write(chunk)
            writer.commit()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self.writer(key) as writer:
            writer.write(data)
            return writer.commit_if_absent()

    def put_file(self, key: str, path: Path, *, on_chunk: OnChunk = nothing) -> None:
        self.put(key, chunks_of(path, on_chunk))

    def copy(self, source: str, target: str) -> None:
        """By a second name for the same bytes: no object's are ever changed, only replaced."""
        aside = self._aside / uuid.uuid4().hex
        with working(source):
            try:
                os.link(self._path(source), aside)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self.put(target, self.open(source))
                return
        try:
            with working(target):
                in_folder(self._path(target), lambda: aside.replace(self._path(target)))
        finally:
            aside.unlink(missing_ok=True)  # it stays where the target was this very object already

    def writer(self, key: str) -> "FileWriter":
        return FileWriter(key, self._path(key), self._aside)

    def grow(self, key: str, token: str | None = None) -> FileGrowing:
        growing = FileGrowing(key, self._path(key), self._root / _GROWING / check_key(key))
        if token is None:
            growing.begin()
        return growing

    def get(self, key: str) -> bytes:
        with working(key):
            return self._path(key).read_bytes()

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        with working(key):
            file = self._path(key).open("rb")
        return _read_range(key, file, start, stop)

    def link(
        self, key: str, *, method: Literal["GET", "HEAD"], life_s: int, media_type: str, disposition: str
    ) -> str | None:
        return None

    def fetch(self, key: str, path: Path, *, on_chunk: OnChunk = nothing) -> None:
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with working(key):
                with aside.open("xb") as file:
                    file.writelines(chunks_of(self._path(key), on_chunk))
                aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def stat(self, key: str) -> int:
        with working(key):
            return self._path(key).stat().st_size

    def exists(self, key: str) -> bool:
        with working(key):
            return self._path(key).is_file()

    def list(self, prefix: str) -> Iterator[str]:
        with working(prefix):
            paths = _files_below(self._root / prefix.rpartition("/")[0])
            keys = (path.relative_to(self._root).as_posix() for path in paths)
            yield from sorted(key for key in keys if key.startswith(prefix) and not key.startswith("."))

    def delete(self, key: str) -> None:
        with working(key):
            self._path(key).unlink(missing_ok=True)

    def delete_prefix(self, prefix: str) -> None:
        folder = self._root / check_prefix(prefix)
        with working(prefix):
            # A writer may put an object into the folder meanwhile; it stays, as with any other storage.
            shutil.rmtree(folder, ignore_errors=True)

    def discard_unfinished(self, prefix: str, older_than_s: float) -> int:
        # What lies aside has no key yet, and none of it is anyone else's.
        written_before = time.time() - older_than_s
        discarded = 0
        with working(_ASIDE):
            for folder in (self._aside, self._root / _GROWING / prefix):
                for path in _files_below(folder):
                    with suppress(FileNotFoundError):  # its writer is alive
                        if path.stat().st_mtime < written_before:
                            path.unlink()
                            discarded += 1
        return discarded

    def free_bytes(self) -> int | None:
        with working(_ASIDE):
            return shutil.disk_usage(self._aside).free

    def ping(self) -> None:
        with working(_ASIDE):
            probe = self._aside / f"ping-{uuid.uuid4().hex}"
            probe.write_bytes(b"ping")
            probe.unlink()

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


class FileWriter:
    """See Writer in base.py."""

    def __init__(self, key: str, path: Path, aside_dir: Path) -> None:
        self._key = key
        self._path = path
        self._aside = aside_dir / uuid.uuid4().hex
        with working(key):
            self._file = self._aside.open("xb")

    def write(self, data: bytes) -> None:
        with working(self._key):
            self._file.write(data)

    def commit(self) -> None:
        with working(self._key):
            self._sync()
            in_folder(self._path, lambda: self._aside.replace(self._path))

    def commit_if_absent(self) -> bool:
        """A link, unlike a rename, refuses a name that is taken."""
        try:
            with working(self._key):
                self._sync()
                in_folder(self._path, lambda: os.link(self._aside, self._path))
        except FileExistsError:
            return False
        return True

    def abort(self) -> None:
        with suppress(OSError):  # what still waits to be written may not fit, and need not
            self._file.close()
        with working(self._key):
            self._aside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file; what vanishes meanwhile is passed over, unlike by `rglob`; other trouble is raised."""

    def tell(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for parent, _, names in os.walk(folder, onerror=tell):
        yield from (Path(parent, name) for name in names)


def _read_range(key: str, file: BinaryIO, start: int, stop: int | None) -> Iterator[bytes]:
    with file, working(key):
        file.seek(start)
        left = None if stop is None else stop - start
        while left is None or left > 0:
            chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
            if not chunk:
                return
            left = None if left is None else left - len(chunk)
            yield chunk
