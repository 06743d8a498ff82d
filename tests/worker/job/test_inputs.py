import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.jobs.keys import input_key
from service.objects.base import NotFound, OnChunk
from service.objects.files import FileStorage
from worker.job import inputs
from worker.job.inputs import InputCache


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    storage = FileStorage(tmp_path / "objects")
    for job_id in "abc":
        storage.put(input_key(job_id), job_id.encode() * 10)
    return storage


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def cached(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_input_is_fetched_once(storage: FileStorage, folder: Path) -> None:
    cache = InputCache(storage, folder)
    with cache.open("a") as path:
        assert path.read_bytes() == b"a" * 10
    storage.delete(input_key("a"))
    with cache.open("a") as path:
        assert path.read_bytes() == b"a" * 10


def test_the_longest_unused_goes_first_when_room_is_short(storage: FileStorage, folder: Path) -> None:
    cache = InputCache(storage, folder, bytes_max=20)
    for job_id in "abab":
        with cache.open(job_id):
            pass
    with cache.open("c"):
        pass
    assert cached(folder) == {"b", "c"}


def test_what_is_in_use_stays_whatever_the_bound(storage: FileStorage, folder: Path) -> None:
    cache = InputCache(storage, folder, bytes_max=1)
    with cache.open("a") as path:
        with cache.open("b"):
            pass
        assert path.exists()
    assert cached(folder) == set()


def test_an_ended_job_leaves_no_file(storage: FileStorage, folder: Path) -> None:
    cache = InputCache(storage, folder)
    with cache.open("a"):
        pass
    cache.forget("a")
    cache.forget("never seen")
    assert cached(folder) == set()


def test_a_job_that_ends_while_its_file_is_read_leaves_no_file_after(
    storage: FileStorage, folder: Path
) -> None:
    cache = InputCache(storage, folder)
    with cache.open("a") as path:
        cache.forget("a")
        assert path.exists()
    assert cached(folder) == set()


def test_a_missing_input_is_told_and_leaves_nothing(storage: FileStorage, folder: Path) -> None:
    cache = InputCache(storage, folder)
    with pytest.raises(NotFound), cache.open("z"):
        pass
    assert cached(folder) == set()


def test_a_step_that_waits_for_anothers_fetching_shows_that_it_goes_on(
    storage: FileStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "WAIT_S", 0.01)
    waited = threading.Event()
    fetch = storage.fetch

    def slow(key: str, path: Path, *, on_chunk: OnChunk) -> None:
        assert waited.wait(10)
        fetch(key, path, on_chunk=on_chunk)

    monkeypatch.setattr(storage, "fetch", slow)
    cache = InputCache(storage, folder)

    def first() -> None:
        with cache.open("a", on_chunk=waited.set):
            pass

    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(first)
        with cache.open("a", on_chunk=waited.set) as path:
            assert path.exists()
        fetching.result()
