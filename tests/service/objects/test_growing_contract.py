"""Objects that come in many requests, to any process: files in a folder, and parts on a real SeaweedFS."""

import contextlib
import random

import pytest

from service.errors import UploadTruncated
from service.objects.base import NotFound
from service.objects.files import FileStorage
from service.objects.s3_writer import PART_BYTES

CONTENT = random.Random(3).randbytes(2 * PART_BYTES + 1234)


@pytest.fixture(params=["files", "s3"])
def storage(request, tmp_path):
    if request.param == "files":
        return FileStorage(tmp_path / "objects")
    return request.getfixturevalue("s3_storage")


def send(storage, key, token, start, stop):
    """As a request of its own, to a process that knows nothing but key and token."""
    with contextlib.closing(storage.grow(key, token).append(start)) as appending:
        step = max(1, (stop - start) // 3)
        for at in range(start, stop, step):
            appending.write(CONTENT[at : min(stop, at + step)])


@pytest.mark.parametrize(
    "stops",
    [
        [len(CONTENT)],
        [5, 6, PART_BYTES - 1, PART_BYTES, PART_BYTES + 9, len(CONTENT)],
        [PART_BYTES, 2 * PART_BYTES, len(CONTENT)],
        [PART_BYTES + 1, len(CONTENT) - 1, len(CONTENT)],
    ],
)
def test_pieces_become_one_object_which_is_seen_only_when_it_is_finished(storage, folder, stops):
    key = f"{folder}/data"
    token = storage.grow(key).token
    for start, stop in zip([0, *stops], stops, strict=False):
        assert storage.grow(key, token).size() == start
        send(storage, key, token, start, stop)
    assert storage.grow(key, token).size() == len(CONTENT)
    assert not storage.exists(key)
    storage.grow(key, token).finish()
    assert storage.get(key) == CONTENT
    assert list(storage.list(f"{folder}/")) == [key]  # nothing of the way there is left


@pytest.mark.parametrize("size_bytes", [0, 1, 3000, PART_BYTES, 2 * PART_BYTES])
def test_objects_of_every_size_are_finished_as_often_as_somebody_asks(storage, folder, size_bytes):
    key = f"{folder}/data"
    growing = storage.grow(key)
    send(storage, key, growing.token, 0, size_bytes)
    for _ in range(2):
        storage.grow(key, growing.token).finish()
    assert storage.get(key) == CONTENT[:size_bytes]
    with pytest.raises(NotFound):
        growing.size()


def test_what_was_written_before_an_error_is_kept(storage, folder):
    growing = storage.grow(f"{folder}/data")
    with contextlib.suppress(UploadTruncated), contextlib.closing(growing.append(0)) as appending:
        appending.write(CONTENT[: PART_BYTES + 77])
        raise UploadTruncated("The client went away.")
    assert growing.size() == PART_BYTES + 77


def test_a_late_request_with_the_same_bytes_makes_nothing_shorter_and_nothing_double(storage, folder):
    key = f"{folder}/data"
    token = storage.grow(key).token
    send(storage, key, token, 0, 100)
    with contextlib.closing(storage.grow(key, token).append(100)) as late:
        late.write(CONTENT[100:200])
        send(storage, key, token, 100, PART_BYTES + 50)
        late.write(CONTENT[200:300])
    assert storage.grow(key, token).size() == PART_BYTES + 50
    send(storage, key, token, PART_BYTES + 50, len(CONTENT))
    storage.grow(key, token).finish()
    assert storage.get(key) == CONTENT


def test_of_what_was_abandoned_nothing_is_left(storage, folder):
    key = f"{folder}/data"
    growing = storage.grow(key)
    send(storage, key, growing.token, 0, PART_BYTES + 5)
    for _ in range(2):
        growing.abandon()
    assert list(storage.list(f"{folder}/")) == []
    for ask in (growing.size, lambda: growing.append(0).write(b"x" * PART_BYTES), growing.finish):
        with pytest.raises(NotFound):
            ask()


def test_what_grew_too_long_ago_is_discarded(storage, folder):
    growing = storage.grow(f"{folder}/data")
    assert storage.discard_unfinished(f"{folder}/", older_than_s=3600) == 0
    assert growing.size() == 0
    assert storage.discard_unfinished(f"{folder}/", older_than_s=-3600) == 1
    with pytest.raises(NotFound):
        growing.size()
