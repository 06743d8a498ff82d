"""Checkpoints: versions of the test's model that are published, published broken, and rolled back to."""

from pathlib import Path
from typing import Final

from service.objects.base import Storage
from service.objects.published import FILES, file_key, move_latest, publish, read_latest
from tests.integration.conftest import MODEL, make_small_model

_GOOD: Final = 2


class Shelf:
    def __init__(self, folder: Path, storage: Storage) -> None:
        self._storage = storage
        self._folders = {}
        for seed in range(_GOOD):
            version = make_small_model(folder / str(seed), seed=seed)
            self._folders[version] = folder / str(seed)
        self._bad_count = 0
        self.versions = tuple(self._folders)
        self._latest_good = self.versions[0]

    def publish(self) -> str:
        """The good version that is not the latest; returns it."""
        index = self.versions.index(self._latest_good)
        self._latest_good = self.versions[(index + 1) % _GOOD]
        publish(self._storage, MODEL, self._latest_good, self._folders[self._latest_good])
        return self._latest_good

    def publish_bad(self) -> None:
        """Other weights than its version says, unless the latest is one already."""
        if read_latest(self._storage, MODEL).version not in self.versions:
            return
        self._bad_count += 1
        version = f"{self._bad_count:016x}"
        for file in FILES:
            content = (self._folders[self._latest_good] / file).read_bytes()
            self._storage.put(file_key(MODEL, version, file), content)
        move_latest(self._storage, MODEL, version)

    def roll_back(self) -> None:
        """To the good version that was published last."""
        move_latest(self._storage, MODEL, self._latest_good)
