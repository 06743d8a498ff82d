"""What the file system raises, as the errors of a storage, and files put into folders that may vanish."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service import metrics
from service.errors import StorageFull, StorageUnavailable
from service.objects.base import NotFound

_FOLDER_TRIES = 100  # each costs microseconds, and a busy deleter may win several in a row


def in_folder(path: Path, place: Callable[[], object]) -> None:
    """Put a file into its folder, which `delete_prefix` may remove at any moment, and make the name last."""
    for _ in range(_FOLDER_TRIES):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileNotFoundError, FileExistsError):  # made or removed by another between two calls of mkdir
            continue
        try:
            place()
        except FileNotFoundError:
            continue
        break
    else:
        raise StorageUnavailable(f"The folder of {path.name} keeps vanishing.")
    with suppress(FileNotFoundError):  # placed, and deleted already
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def working(key: str) -> Iterator[None]:
    """Turn what the file system raises into the errors of a storage."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"There is no object {key!r}.", field="key", value=key) from error
    except FileExistsError:
        raise
    except OSError as error:
        raise unavailable(error) from error


def unavailable(error: OSError) -> StorageUnavailable:
    metrics.STORAGE_ERRORS.inc()
    kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageUnavailable
    return kind(f"The storage does not work: {error.strerror}.")
