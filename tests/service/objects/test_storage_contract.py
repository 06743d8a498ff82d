"""What every storage keeps: files in a folder, and S3 on a real SeaweedFS."""

import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import UploadTruncated
from service.objects.base import InvalidKey, NotFound
from service.objects.files import FileStorage

MIB = 1024 * 1024


@pytest.fixture(params=["files", "s3"])
def storage(request, tmp_path):
    if request.param == "files":
        return FileStorage(tmp_path / "objects")
    return request.getfixturevalue("s3_storage")


def breaks_after(chunks, size_bytes=3 * MIB):
    for _ in range(chunks):
        yield b"x" * size_bytes
    raise UploadTruncated("The sender hung up.")


def test_what_was_put_is_what_is_read_back_for_small_and_large_objects(storage, folder):
    chunks = [random.Random(seed).randbytes(MIB + 13 * seed) for seed in range(20)]
    storage.put(f"{folder}/large", iter(chunks))
    read = hashlib.sha256()
    for chunk in storage.open(f"{folder}/large"):
        read.update(chunk)
    assert read.hexdigest() == hashlib.sha256(b"".join(chunks)).hexdigest()
    assert storage.stat(f"{folder}/large") == sum(map(len, chunks))

    storage.put(f"{folder}/small", b"a few bytes")
    assert storage.get(f"{folder}/small") == b"a few bytes"
    storage.put(f"{folder}/empty", b"")
    assert storage.get(f"{folder}/empty") == b""
    assert storage.stat(f"{folder}/empty") == 0


def test_files_go_in_and_come_out_unchanged(storage, folder, tmp_path):
    content = random.Random(1).randbytes(9 * MIB + 1)
    (tmp_path / "in").write_bytes(content)
    storage.put_file(f"{folder}/object", tmp_path / "in")
    storage.fetch(f"{folder}/object", tmp_path / "new-folder" / "out")
    assert (tmp_path / "new-folder" / "out").read_bytes() == content
    assert [path.name for path in (tmp_path / "new-folder").iterdir()] == ["out"]


def raises(error: Exception | None) -> None:
    if error is not None:
        raise error


def test_large_files_are_told_of_on_their_way_and_can_be_stopped(storage, folder, tmp_path):
    (tmp_path / "in").write_bytes(bytes(9 * MIB + 1))
    for work in (storage.put_file, storage.fetch):
        told = []
        work(f"{folder}/object", tmp_path / "in", on_chunk=lambda told=told: told.append(1))
        assert len(told) >= 9
    for work, key, path in (
        (storage.put_file, f"{folder}/other", tmp_path / "in"),
        (storage.fetch, f"{folder}/object", tmp_path / "out"),
    ):
        calls = [UploadTruncated("enough")] + [None] * 4
        with pytest.raises(UploadTruncated):
            work(key, path, on_chunk=lambda calls=calls: raises(calls.pop()))
    assert not storage.exists(f"{folder}/other")
    assert [path.name for path in tmp_path.iterdir() if path.name != "objects"] == ["in"]


def test_a_copy_lives_on_without_its_original(storage, folder):
    content = random.Random(2).randbytes(9 * MIB + 1)
    storage.put(f"{folder}/original", content)
    storage.put(f"{folder}/new/copy", b"what was there before")
    for _ in range(2):  # a copy that was lost on its way is made again
        storage.copy(f"{folder}/original", f"{folder}/new/copy")
    storage.put(f"{folder}/original", b"changed")
    assert storage.get(f"{folder}/new/copy") == content
    storage.delete(f"{folder}/original")
    assert storage.get(f"{folder}/new/copy") == content
    with pytest.raises(NotFound):
        storage.copy(f"{folder}/original", f"{folder}/other")
    assert list(storage.list(f"{folder}/")) == [f"{folder}/new/copy"]


@pytest.mark.parametrize("chunks", [0, 1, 7])
def test_interrupted_put_leaves_nothing(storage, folder, chunks):
    with pytest.raises(UploadTruncated):
        storage.put(f"{folder}/object", breaks_after(chunks))
    assert not storage.exists(f"{folder}/object")
    assert list(storage.list(f"{folder}/")) == []
    assert storage.discard_unfinished(f"{folder}/", older_than_s=-1) == 0


def test_interrupted_put_leaves_the_old_object(storage, folder):
    storage.put(f"{folder}/object", b"old")
    with pytest.raises(UploadTruncated):
        storage.put(f"{folder}/object", breaks_after(7))
    assert storage.get(f"{folder}/object") == b"old"


def test_a_put_replaces_the_object(storage, folder):
    storage.put(f"{folder}/object", b"old and longer")
    storage.put(f"{folder}/object", b"new")
    assert storage.get(f"{folder}/object") == b"new"


@pytest.mark.parametrize("size_bytes", [10, 9 * MIB])
def test_a_written_object_appears_at_its_commit_and_not_before(storage, folder, size_bytes):
    with storage.writer(f"{folder}/object") as writer:
        writer.write(b"x" * size_bytes)
        assert not storage.exists(f"{folder}/object")
        writer.commit()
        assert storage.stat(f"{folder}/object") == size_bytes
    assert storage.exists(f"{folder}/object")


@pytest.mark.parametrize("size_bytes", [0, 10, 9 * MIB])
def test_a_writer_left_without_a_commit_leaves_nothing(storage, folder, size_bytes):
    with storage.writer(f"{folder}/object") as writer:
        writer.write(b"x" * size_bytes)
    assert not storage.exists(f"{folder}/object")
    assert storage.discard_unfinished(f"{folder}/", older_than_s=-1) == 0


def test_what_a_dead_writer_left_is_discarded_when_it_is_old(storage, folder):
    writer = storage.writer(f"{folder}/object")
    writer.write(b"x" * 9 * MIB)
    assert storage.discard_unfinished(f"{folder}/", older_than_s=3600) == 0
    assert storage.discard_unfinished(f"{folder}/", older_than_s=-1) == 1
    assert storage.discard_unfinished(f"{folder}/", older_than_s=-1) == 0
    writer.abort()
    assert not storage.exists(f"{folder}/object")


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 5), (5, 9), (1_500_000, None), (0, 10**9), (7, 7), (2_000_000, 2_000_100)],
)
def test_a_range_is_read_like_a_slice(storage, folder, start, stop):
    content = random.Random(2).randbytes(2_000_000)
    storage.put(f"{folder}/object", content)
    assert b"".join(storage.open(f"{folder}/object", start, stop)) == content[start:stop]


def test_a_missing_object_is_said_to_be_missing_before_anything_is_read(storage, folder, tmp_path):
    missing = f"{folder}/missing"
    for ask in (storage.get, storage.stat, storage.open, lambda key: storage.fetch(key, tmp_path / "out")):
        with pytest.raises(NotFound):
            ask(missing)
    assert not storage.exists(missing)
    assert not (tmp_path / "out").exists()
    storage.delete(missing)
    storage.delete_prefix(f"{folder}/")


def test_keys_are_listed_in_order_below_the_prefix_only(storage, folder):
    keys = [f"{folder}/jobs/1/input", f"{folder}/jobs/1/parts/000001-1", f"{folder}/jobs/12/input"]
    for key in reversed(keys):
        storage.put(key, b"x")
    assert list(storage.list(f"{folder}/")) == keys
    assert list(storage.list(f"{folder}/jobs/1/")) == keys[:2]
    assert list(storage.list(f"{folder}/jobs/1")) == keys
    assert list(storage.list(f"{folder}/nothing/")) == []


def test_deleting_a_prefix_spares_its_neighbours(storage, folder):
    for key in ("jobs/1/input", "jobs/1/parts/a", "jobs/12/input"):
        storage.put(f"{folder}/{key}", b"x")
    storage.delete_prefix(f"{folder}/jobs/1/")
    assert list(storage.list(f"{folder}/")) == [f"{folder}/jobs/12/input"]
    with pytest.raises(InvalidKey):
        storage.delete_prefix(f"{folder}/jobs/1")


def test_of_many_who_put_if_absent_at_once_exactly_one_wins(storage, folder):
    callers = 8
    barrier = threading.Barrier(callers)

    def race(number):
        barrier.wait()
        return storage.put_if_absent(f"{folder}/object", f"caller {number}".encode())

    with ThreadPoolExecutor(callers) as pool:
        won = list(pool.map(race, range(callers)))
    assert won.count(True) == 1
    assert storage.get(f"{folder}/object") == f"caller {won.index(True)}".encode()
    assert not storage.put_if_absent(f"{folder}/object", b"late")
    assert storage.get(f"{folder}/object") != b"late"


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../outside", "a/../../outside", "a//b", "a/.", ".hidden", "a\\b", "a\0b", "a/"],
)
def test_keys_that_would_escape_are_refused(storage, key):
    for use in (storage.get, storage.delete, storage.writer, lambda key: storage.put(key, b"x")):
        with pytest.raises(InvalidKey):
            use(key)


def test_many_threads_share_one_storage(storage, folder):
    contents = {f"{folder}/{n}": random.Random(n).randbytes(100_000) for n in range(40)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(storage.put, contents, contents.values()))
        assert list(pool.map(storage.get, contents)) == list(contents.values())


def test_ping_answers_when_the_storage_takes_writes(storage):
    storage.ping()
