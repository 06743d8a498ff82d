"""What only the S3 storage has to care for."""

import time

import httpx
import pytest
from pydantic import SecretStr

from service.errors import StorageUnavailable
from service.objects.s3 import S3Storage
from service.objects.s3_writer import PART_BYTES


def storage_at(endpoint_url, bucket="upscaled", secret_key="wrong"):
    return S3Storage(
        bucket=bucket,
        region="us-east-1",
        endpoint_url=endpoint_url,
        access_key=SecretStr("test-access-key"),
        secret_key=SecretStr(secret_key),
    )


def use_in_every_way(storage, tmp_path):
    (tmp_path / "in").write_bytes(b"x")
    yield lambda: storage.put("key", b"x")
    yield lambda: storage.put_if_absent("key", b"x")
    yield lambda: storage.put_file("key", tmp_path / "in")
    yield lambda: storage.get("key")
    yield lambda: storage.stat("key")
    yield lambda: storage.exists("key")
    yield lambda: storage.fetch("key", tmp_path / "out")
    yield lambda: list(storage.list("jobs/"))
    yield lambda: storage.delete("key")
    yield lambda: storage.delete_prefix("jobs/")
    yield lambda: storage.discard_unfinished("jobs/", 60)
    yield storage.ping


def test_a_server_that_is_away_makes_every_call_storage_unavailable(tmp_path):
    storage = storage_at("http://127.0.0.1:9")  # the discard port: nobody listens
    for use in use_in_every_way(storage, tmp_path):
        with pytest.raises(StorageUnavailable):
            use()
    storage.close()


def test_a_wrong_secret_is_storage_unavailable_and_not_a_missing_object(s3_server, tmp_path):
    storage = storage_at(s3_server.endpoint_url)
    for use in use_in_every_way(storage, tmp_path):
        with pytest.raises(StorageUnavailable):
            use()
    storage.close()


def test_a_download_that_breaks_goes_on_where_it_stopped(s3_storage, folder, monkeypatch):
    content = bytes(range(256)) * 20_000
    s3_storage.put(f"{folder}/object", content)
    read, ranges = s3_storage._read, []

    def read_and_break(key, start, stop):
        ranges.append(start)
        for chunk in read(key, start, stop):
            yield chunk
            if len(ranges) == 1:
                raise StorageUnavailable("The connection broke.")

    monkeypatch.setattr(s3_storage, "_read", read_and_break)
    assert b"".join(s3_storage.open(f"{folder}/object")) == content
    assert len(ranges) == 2
    assert ranges[1] > 0


def link(storage, key, *, method="GET", life_s=60):
    return storage.link(
        key, method=method, life_s=life_s, media_type="video/mp4", disposition='attachment; filename="a.mp4"'
    )


def test_a_storage_that_clients_do_not_reach_gives_no_links(s3_storage, folder):
    s3_storage.put(f"{folder}/object", b"x")
    assert link(s3_storage, f"{folder}/object") is None


def test_a_link_opens_one_object_with_one_method_for_a_while(public_s3_storage, folder):
    for name in ("object", "other"):
        public_s3_storage.put(f"{folder}/{name}", name.encode())
    brief = link(public_s3_storage, f"{folder}/object", life_s=1)
    address = link(public_s3_storage, f"{folder}/object")
    assert httpx.get(address).content == b"object"
    assert httpx.get(address.replace("object?", "other?")).status_code == 403
    assert httpx.put(address, content=b"changed").status_code == 403
    assert httpx.get(address.replace("localhost", "127.0.0.1")).status_code == 403  # signed for one name
    time.sleep(2.5)
    assert httpx.get(brief).status_code == 403


def test_a_link_to_look_only_tells_the_size_and_the_name(public_s3_storage, folder):
    public_s3_storage.put(f"{folder}/object", b"seven..")
    answer = httpx.head(link(public_s3_storage, f"{folder}/object", method="HEAD"))
    assert (answer.status_code, answer.headers["content-length"]) == (200, "7")


def test_only_what_was_begun_under_the_prefix_is_discarded(s3_storage, folder):
    """Others may keep theirs in the same bucket."""
    ours, theirs = (s3_storage.writer(f"{folder}/{whose}/object") for whose in ("ours", "theirs"))
    for writer in (ours, theirs):
        writer.write(bytes(PART_BYTES))
    assert s3_storage.discard_unfinished(f"{folder}/ours/", -1) == 1
    theirs.commit()
    assert s3_storage.exists(f"{folder}/theirs/object")
