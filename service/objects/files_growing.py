"""A growing object in a folder: a file that lies aside and gets its name at the end. See growing.py."""

import os
from contextlib import suppress
from pathlib import Path

from service.objects.file_system import in_folder, working


class FileGrowing:
    def __init__(self, key: str, path: Path, aside: Path) -> None:
        self._key = key
        self._path = path
        self._aside = aside

    @property
    def token(self) -> str:
        return ""  # the key alone tells where it lies

    def begin(self) -> None:
        with working(self._key):
            in_folder(self._aside, lambda: self._aside.open("xb").close())

    def size(self) -> int:
        with working(self._key):
            return self._aside.stat().st_size

    def append(self, offset: int) -> "FileAppending":
        return FileAppending(self._key, self._aside, offset)

    def finish(self) -> None:
        with working(self._key):
            if self._path.exists():
                return
            self._aside.stat()
            in_folder(self._path, lambda: self._aside.replace(self._path))
        self._leave_folder()

    def abandon(self) -> None:
        with working(self._key):
            self._aside.unlink(missing_ok=True)
        self._leave_folder()

    def _leave_folder(self) -> None:
        with suppress(OSError):  # something of another key lies there, too
            self._aside.parent.rmdir()


class FileAppending:
    """Written where it belongs and not merely at the end: of two who write at once none doubles anything."""

    def __init__(self, key: str, path: Path, offset: int) -> None:
        self._key = key
        self._at = offset
        with working(key):
            self._file = os.open(path, os.O_WRONLY)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        with working(self._key):
            while view:
                written = os.pwrite(self._file, view, self._at)
                self._at += written
                view = view[written:]

    def close(self) -> None:
        try:
            with working(self._key):
                os.fsync(self._file)
        finally:
            os.close(self._file)
