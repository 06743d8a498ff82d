"""What only the file storage has to care for."""

import contextlib
import shutil
import threading
import time

import pytest

from service.errors import StorageFull, StorageUnavailable
from service.objects.base import CHUNK_BYTES, InvalidKey
from service.objects.files import FileStorage


def test_a_folder_deleted_in_between_does_not_break_a_put(tmp_path):
    storage = FileStorage(tmp_path)
    stop = threading.Event()

    def delete_all_the_time():
        while not stop.is_set():
            storage.delete_prefix("jobs/1/")

    deleter = threading.Thread(target=delete_all_the_time)
    deleter.start()
    try:
        for number in range(200):
            storage.put(f"jobs/1/parts/{number}", b"x")
    finally:
        stop.set()
        deleter.join()


def test_objects_outlive_the_process_that_wrote_them(tmp_path):
    FileStorage(tmp_path).put("jobs/1/input", b"upload")
    assert FileStorage(tmp_path).get("jobs/1/input") == b"upload"


def test_a_key_that_names_a_folder_is_no_object(tmp_path):
    storage = FileStorage(tmp_path)
    storage.put("jobs/1/input", b"upload")
    assert not storage.exists("jobs/1")


def test_what_lies_aside_is_never_listed(tmp_path):
    storage = FileStorage(tmp_path)
    writer = storage.writer("object")
    writer.write(b"half")
    assert list(storage.list("")) == []
    writer.abort()


def test_a_path_out_of_the_root_is_not_even_looked_at(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    storage = FileStorage(tmp_path / "objects")
    with pytest.raises(InvalidKey):
        storage.exists("../secret")


def test_a_root_that_cannot_be_made_is_an_unavailable_storage(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable):
        FileStorage(tmp_path / "file" / "objects")


def test_what_vanishes_while_it_is_listed_does_no_harm(tmp_path):
    storage = FileStorage(tmp_path)
    stop = threading.Event()

    def come_and_go():
        while not stop.is_set():
            with contextlib.suppress(StorageUnavailable):
                for number in range(20):
                    storage.put(f"jobs/1/parts/{number}/x", b"x")
                    storage.writer(f"jobs/1/states/{number}").abort()
            storage.delete_prefix("jobs/1/")

    storage.put("jobs/2/input", b"stays")
    busy = threading.Thread(target=come_and_go)
    busy.start()
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert "jobs/2/input" in storage.list("jobs/")
            storage.discard_unfinished("jobs/", older_than_s=3600)
    finally:
        stop.set()
        busy.join()


@pytest.mark.parametrize("size_bytes", [1, 10 * CHUNK_BYTES])
def test_a_full_disk_is_told_by_type_and_leaves_nothing(tmp_path, size_bytes):
    """The bytes may still wait in a buffer, and be refused only when the file is closed."""
    storage = FileStorage(tmp_path)
    with pytest.raises(StorageFull), storage.writer("jobs/1/input") as writer:  # noqa: PT012
        writer._file.close()
        writer._file = open("/dev/full", "wb")  # noqa: PTH123, SIM115
        writer.write(bytes(size_bytes))
        writer.commit()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_storage_in_a_folder_knows_how_much_room_there_is(tmp_path):
    assert 0 < FileStorage(tmp_path).free_bytes() <= shutil.disk_usage(tmp_path).total
