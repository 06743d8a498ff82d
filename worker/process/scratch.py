"""A folder of this process's own under the cache, and an end to those of processes that died.

A worker killed with -9 leaves parts and fetched inputs behind. The lock on a folder ends with its process, so
a folder whose lock is free belongs to nobody.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "worker-"
_LOCK: Final = "lock"


@contextmanager
def own_folder(cache: Path) -> Iterator[Path]:
    """A new folder inside `cache`, removed at the end, after those of dead processes were."""
    cache.mkdir(parents=True, exist_ok=True)
    for folder in cache.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(folder)
    folder = Path(tempfile.mkdtemp(dir=cache, prefix=_PREFIX))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):
        return  # alive, or made this very moment
