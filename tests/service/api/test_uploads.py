"""POST /upscale: what is accepted is recorded whole, what is refused leaves nothing behind."""

import asyncio
import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any

import httpx
import pytest
from anyio import create_task_group

from service.api import accepting
from service.api.intake import media
from service.api.intake import reading as intake
from service.api.intake.fields import SOURCES
from service.errors import StorageUnavailable, StoreUnavailable
from service.housekeeping.sweeper import Sweeper
from service.jobs import keys, manifest
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Handling, Job, Options
from service.jobs.steps import PLAN
from tests.service.api.harness import LIMIT_BYTES, Service, running
from tests.service.api.samples import CLIP, png, png_that_declares, stored_job


def post(service: Service, data: bytes = CLIP, *, name: str = "clip.mp4", **fields: str) -> httpx.Response:
    return service.ask("POST", "/upscale", files={"file": (name, data)}, data=fields)


def test_an_upload_becomes_a_recorded_queued_job(service: Service) -> None:
    answer = post(
        service, scale="2", codec="hevc", quality="80", start="1.5", duration="3", deinterlace="off"
    )

    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}" == job["links"]["self"]
    assert answer.headers["retry-after"]
    assert (job["state"], job["kind"], job["filename"]) == ("queued", "video", "clip.mp4")
    assert (job["size_bytes"], job["sha256"]) == (len(CLIP), hashlib.sha256(CLIP).hexdigest())
    assert service.storage.get(keys.input_key(job["id"])) == CLIP
    recorded = manifest.load(service.storage, job["id"]).job
    assert recorded == service.store.get(job["id"])
    assert recorded.options == Options(
        scale=2, codec="hevc", quality=80, start=1.5, duration=3, deinterlace="off"
    )
    assert service.queue.sent == [(job["id"], PLAN)]


def test_options_may_come_before_or_after_the_file(service: Service) -> None:
    before = [("scale", (None, b"2")), ("file", ("a.mp4", CLIP))]
    for parts in (before, before[::-1]):
        answer = service.ask("POST", "/upscale", files=parts)
        assert (answer.status_code, answer.json()["options"]["scale"]) == (202, 2)


def test_a_picture_is_known_as_one(service: Service) -> None:
    answer = post(service, png(), name="Höhle 洞.png", format="webp")
    assert (answer.json()["kind"], answer.json()["filename"]) == ("image", "Höhle 洞.png")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("../../etc/passwd", "passwd"), ("C:\\films\\a.mp4", "a.mp4"), ("", "upload"), ("x" * 500, "x" * 200)],
)
def test_a_filename_is_shown_without_its_folders(service: Service, sent: str, shown: str) -> None:
    answer = service.ask(
        "POST",
        "/upscale",
        content=b'--B\r\nContent-Disposition: form-data; name="file"; filename="'
        + sent.encode()
        + b'"\r\n\r\n'
        + CLIP
        + b"\r\n--B--\r\n",
        headers={"content-type": "multipart/form-data; boundary=B"},
    )
    assert answer.json()["filename"] == shown


REFUSED = {
    "an empty file": (b"", {}, 422, "empty_upload", "file"),
    "text": (b"once upon a time there was no video" * 9, {}, 415, "not_media", "file"),
    "text called mp4": (b"x", {}, 415, "not_media", "file"),
    "sound alone": (b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(99), {}, 415, "not_media", "file"),
    "a HEIF picture": (b"\x00\x00\x00\x18ftypheic" + bytes(99), {}, 422, "unsupported_media", "file"),
    "a picture too large": (png_that_declares(100_000, 100_000), {}, 422, "frame_too_large", "file"),
    "a file too large": (CLIP + bytes(LIMIT_BYTES), {}, 413, "upload_too_large", "file"),
    "an unknown model": (CLIP, {"model": "dreamer"}, 422, "unknown_model", "model"),
    "an empty model": (CLIP, {"model": ""}, 422, "invalid_option", "model"),
    "scale 5": (CLIP, {"scale": "5"}, 422, "invalid_option", "scale"),
    "scale as words": (CLIP, {"scale": "four"}, 422, "invalid_option", "scale"),
    "an unknown size": (CLIP, {"size": "5k"}, 422, "invalid_option", "size"),
    "a width as words": (CLIP, {"width": "wide"}, 422, "invalid_option", "width"),
    "a height of 15": (png(), {"height": "15"}, 422, "invalid_option", "height"),
    "an odd width of a video": (CLIP, {"width": "99"}, 422, "invalid_option", "width"),
    "scale and size": (CLIP, {"scale": "2", "size": "4k"}, 422, "invalid_option", "scale"),
    "size and height": (CLIP, {"height": "720", "size": "4k"}, 422, "invalid_option", "size"),
    "an unknown codec": (CLIP, {"codec": "theora"}, 422, "invalid_option", "codec"),
    "quality 0": (CLIP, {"quality": "0"}, 422, "invalid_option", "quality"),
    "quality 101": (CLIP, {"quality": "101"}, 422, "invalid_option", "quality"),
    "a negative start": (CLIP, {"start": "-1"}, 422, "invalid_option", "start"),
    "an endless duration": (CLIP, {"duration": "inf"}, 422, "invalid_option", "duration"),
    "no duration": (CLIP, {"duration": "0"}, 422, "invalid_option", "duration"),
    "an unknown format": (CLIP, {"format": "avif"}, 422, "invalid_option", "format"),
    "a video as picture": (CLIP, {"format": "png"}, 422, "invalid_option", "format"),
    "a video as an animation": (CLIP, {"format": "gif"}, 422, "invalid_option", "format"),
    "a picture as video": (png(), {"format": "mp4"}, 422, "invalid_option", "format"),
    "a codec for a picture": (png(), {"codec": "h264"}, 422, "invalid_option", "codec"),
    "an unknown way to deinterlace": (CLIP, {"deinterlace": "yadif"}, 422, "invalid_option", "deinterlace"),
    "a picture with fields": (png(), {"deinterlace": "fields"}, 422, "invalid_option", "deinterlace"),
    "ffv1 in mp4": (CLIP, {"codec": "ffv1", "format": "mp4"}, 422, "invalid_option", "format"),
    "an unknown option": (CLIP, {"sharpness": "11"}, 422, "invalid_option", "sharpness"),
    "an endless option": (CLIP, {"model": "m" * 5000}, 422, "invalid_option", "model"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused_by_name_and_leaves_nothing(
    service: Service, case: tuple[bytes, dict[str, str], int, str, str]
) -> None:
    data, fields, status, code, field = case
    answer = post(service, data, **fields)

    problem = answer.json()
    assert (answer.status_code, problem["type"], problem["field"]) == (status, f"/problems/{code}", field)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["detail"]
    assert service.objects() == []
    assert service.store.list(10) == ([], None)


def test_a_refusal_names_the_offending_value(service: Service) -> None:
    assert post(service, scale="5").json()["value"] == "5"
    assert post(service, model="dreamer").json()["value"] == "dreamer"
    assert post(service, png_that_declares(100_000, 100_000)).json()["value"] == "100000x100000"


MALFORMED: dict[str, tuple[dict[str, object], int, str]] = {
    "json": ({"json": {"file": "clip.mp4"}}, 415, "not_multipart"),
    "nothing": ({}, 415, "not_multipart"),
    "no file": ({"files": [("scale", (None, b"2"))]}, 422, "empty_upload"),
    "two files": ({"files": [("file", ("a.mp4", CLIP)), ("file", ("b.mp4", CLIP))]}, 422, "invalid_option"),
    "an option twice": (
        {"files": [("scale", (None, b"2")), ("scale", (None, b"4")), ("file", ("a.mp4", CLIP))]},
        422,
        "invalid_option",
    ),
    "options in the address": (
        {"params": {"scale": "2"}, "files": {"file": ("a.mp4", CLIP)}},
        422,
        "invalid_option",
    ),
    "an endless key": (
        {"headers": {"Idempotency-Key": "k" * 999}, "files": {"file": ("a.mp4", CLIP)}},
        422,
        "invalid_option",
    ),
}


@pytest.mark.parametrize(("request_", "status", "code"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused(
    service: Service, request_: dict[str, object], status: int, code: str
) -> None:
    answer = service.ask("POST", "/upscale", **request_)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")
    assert service.objects() == []


def test_a_full_queue_is_503_and_says_when_to_come_back(service: Service) -> None:
    for number in range(service.settings.queue_max):
        stored_job(service.store, service.storage, f"job{number}")
    answer = post(service)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/queue_full")
    assert int(answer.headers["retry-after"]) > 0


def test_no_job_is_taken_while_the_store_is_nearly_full(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left is for the jobs that are there, which must end before there is more."""
    monkeypatch.setattr(service.store, "memory_used", lambda: 0.91)
    answer = post(service)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/store_full")
    assert int(answer.headers["retry-after"]) > 0
    monkeypatch.setattr(service.store, "memory_used", lambda: 0.89)
    assert post(service).status_code == 202


def test_an_upload_that_would_fill_the_disk_is_507_before_its_first_byte(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = accepting.DISK_BYTES_KEPT + 100_000
    monkeypatch.setattr(service.storage, "free_bytes", lambda: room)
    monkeypatch.setattr(service.storage, "writer", lambda _: pytest.fail("it was begun"))
    answer = post(service, CLIP + bytes(110_000))
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/storage_full")


def test_a_disk_that_fills_while_an_upload_comes_is_507_and_nothing_is_left(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer_of = service.storage.writer

    def on_a_full_disk(key: str) -> object:
        writer = writer_of(key)
        writer._file.close()  # type: ignore[attr-defined]
        writer._file = open("/dev/full", "wb")  # type: ignore[attr-defined]  # noqa: PTH123, SIM115
        return writer

    monkeypatch.setattr(service.storage, "writer", on_a_full_disk)
    answer = post(service)
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/storage_full")
    assert list((service.settings.objects_dir / ".aside").iterdir()) == []


# A client that may never have heard the answer


def test_the_same_key_and_upload_give_the_same_job(service: Service) -> None:
    first, second = (
        service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    )
    assert second.status_code == 202
    assert second.json()["id"] == first.json()["id"]
    assert second.headers["location"] == first.headers["location"]
    assert {key.split("/")[1] for key in service.objects()} == {first.json()["id"]}
    assert len(service.queue.sent) == 1


def test_the_same_key_for_another_upload_is_a_conflict(service: Service) -> None:
    headers = {"Idempotency-Key": "k"}
    first = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, headers=headers)
    for other in (
        {"files": {"file": ("a.mp4", CLIP + b"!")}},
        {"files": {"file": CLIP}, "data": {"scale": "2"}},
    ):
        answer = service.ask("POST", "/upscale", headers=headers, **other)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/idempotency_conflict")
    assert {key.split("/")[1] for key in service.objects()} == {first.json()["id"]}


def test_a_key_that_a_lost_store_may_have_known_makes_no_second_job(service: Service) -> None:
    headers, files = {"Idempotency-Key": "k"}, {"file": ("a.mp4", CLIP)}
    first = service.ask("POST", "/upscale", files=files, headers=headers)
    service.store = MemoryStore(lease_s=15, attempts_max=4)  # it lost everything
    again = service.ask("POST", "/upscale", files=files, headers=headers)
    assert (again.status_code, again.json()["type"]) == (503, "/problems/store_unavailable")
    assert "retry-after" in again.headers
    assert post(service).status_code == 202  # without a key nobody can mean another job

    Sweeper(service.store, service.storage, service.queue, service.settings).housekeep()
    again = service.ask("POST", "/upscale", files=files, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


def test_a_key_whose_api_died_between_manifest_and_store_makes_one_job(service: Service) -> None:
    headers, files = {"Idempotency-Key": "k"}, {"file": ("a.mp4", CLIP)}
    first = service.ask("POST", "/upscale", files=files, headers=headers).json()["id"]
    service.store.delete(first)  # as if it had died before
    again = service.ask("POST", "/upscale", files=files, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first)
    other = service.ask("POST", "/upscale", files={"file": CLIP + b"!"}, headers=headers)
    assert other.status_code == 409

    Sweeper(service.store, service.storage, service.queue, service.settings).sweep()
    assert [job.id for job in service.store.list(9)[0]] == [first]
    assert {key.split("/")[1] for key in service.objects()} == {first}
    assert service.queue.sent[-1] == (first, "plan")


def test_a_key_whose_api_died_before_the_manifest_makes_the_next_job(service: Service) -> None:
    headers, files = {"Idempotency-Key": "k"}, {"file": ("a.mp4", CLIP)}
    lost = service.ask("POST", "/upscale", files=files, headers=headers).json()["id"]
    service.store.delete(lost)
    service.storage.delete(keys.manifest_key(lost))
    second = service.ask("POST", "/upscale", files=files, headers=headers).json()["id"]
    assert second != lost
    service.store.delete(second)  # this one died too, but later
    assert service.ask("POST", "/upscale", files=files, headers=headers).json()["id"] == second


def test_a_key_is_free_again_when_its_job_was_deleted(service: Service) -> None:
    headers, files = {"Idempotency-Key": "k"}, {"file": ("a.mp4", CLIP)}
    first = service.ask("POST", "/upscale", files=files, headers=headers).json()["id"]
    assert service.ask("DELETE", f"/jobs/{first}").status_code == 204
    again = service.ask("POST", "/upscale", files={"file": CLIP + b"!"}, headers=headers)
    assert again.status_code == 202
    assert again.json()["id"] != first


def test_an_upload_that_can_be_neither_made_nor_removed_is_no_job_later(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The permission to delete is missing, so its manifest stays and is found by the next rebuild."""
    headers, files = {"Idempotency-Key": "k"}, {"file": ("a.mp4", CLIP)}
    first = service.ask("POST", "/upscale", files=files, headers=headers).json()["id"]
    broken = Broken(service.storage, StorageUnavailable("denied"), "delete")
    monkeypatch.setattr(service.storage, "delete", broken.delete)
    assert service.ask("POST", "/upscale", files=files, headers=headers).json()["id"] == first
    away = Broken(service.store, StoreUnavailable("away"), "create")
    monkeypatch.setattr(service.store, "create", away.create)
    assert post(service).status_code == 503

    Sweeper(service.store, service.storage, service.queue, service.settings).rebuild()
    states = {job.id: job.state for job in service.store.list(9)[0]}
    assert (len(states), states.pop(first), set(states.values())) == (3, "queued", {"cancelled"})


def test_many_requests_with_one_key_at_once_make_one_job(service: Service, server: str) -> None:
    start, ids = Barrier(4), []

    def send() -> None:
        start.wait()
        answer = httpx.post(
            f"{server}/upscale", files={"file": ("a.mp4", CLIP)}, headers={"Idempotency-Key": "k"}
        )
        ids.append(answer.json()["id"])

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert len(service.store.list(10)[0]) == 1


# When a part of us is down


class Broken:
    """Another object, but some of its methods raise."""

    def __init__(self, inner: object, error: Exception, *methods: str) -> None:
        self._inner, self._error, self._methods = inner, error, methods

    def __getattr__(self, name: str) -> object:
        if name in self._methods:

            def broken(*_args: object, **_kwargs: object) -> object:
                raise self._error

            return broken
        return getattr(self._inner, name)


@pytest.mark.parametrize("methods", [["queue_depth"], ["create"], ["now", "create", "delete"]])
def test_a_store_that_is_down_is_503_and_nothing_is_half_recorded(
    service: Service, methods: list[str]
) -> None:
    service.store = Broken(service.store, StoreUnavailable("redis-7.internal refuses"), *methods)  # type: ignore[assignment]
    answer = post(service)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/store_unavailable")
    assert "redis-7" not in answer.text
    assert answer.headers["retry-after"]
    assert service.objects() == []


def test_a_job_that_may_have_been_made_keeps_its_bytes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of `create` is lost, and the store stays away, so nobody can take the job back."""
    create, delete = service.store.create, service.store.delete

    def without_answer(job: Job, **more: Any) -> Job:
        create(job, **more)
        raise StoreUnavailable("the connection broke")

    monkeypatch.setattr(service.store, "create", without_answer)
    monkeypatch.setattr(
        service.store, "delete", Broken(service.store, StoreUnavailable("away"), "delete").delete
    )
    headers, files = {"Idempotency-Key": "k"}, {"file": ("a.mp4", CLIP)}
    assert service.ask("POST", "/upscale", files=files, headers=headers).status_code == 503
    monkeypatch.setattr(service.store, "create", create)
    monkeypatch.setattr(service.store, "delete", delete)

    answer = service.ask("POST", "/upscale", files=files, headers=headers)
    job_id = answer.json()["id"]
    assert answer.status_code == 202
    assert service.storage.get(keys.input_key(job_id)) == CLIP
    assert manifest.load(service.storage, job_id).job.id == job_id
    assert {key.split("/")[1] for key in service.objects()} == {job_id}


@pytest.mark.parametrize("method", ["writer", "put", "stat"])
def test_a_storage_that_is_down_is_503_and_nothing_is_recorded(service: Service, method: str) -> None:
    working = service.storage
    service.storage = Broken(working, StorageUnavailable("disk full"), method)  # type: ignore[assignment]
    answer = post(service, png())
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage_unavailable")
    assert list(working.list("jobs/")) == []
    assert service.store.list(10) == ([], None)


def test_a_job_that_could_not_be_queued_is_accepted_for_the_sweeper_to_find(service: Service) -> None:
    service.queue = Broken(service.queue, StoreUnavailable("no broker"), "enqueue")  # type: ignore[assignment]
    answer = post(service)
    assert answer.status_code == 202
    assert list(service.store.waiting(answer.json()["id"])) == [PLAN]


# On a real socket


def head(length: int | None = None, **headers: str) -> bytes:
    lines = ["POST /upscale HTTP/1.1", "Host: test", "Content-Type: multipart/form-data; boundary=B"]
    lines += [f"Content-Length: {length}"] if length is not None else ["Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


FILE_HEAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'


def connect(server: str) -> socket.socket:
    host, port = server.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def reply(client: socket.socket) -> bytes:
    """One whole answer, as it says how long it is."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65536)
    headers, _, body = received.partition(b"\r\n\r\n")
    length = int(headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)
    return headers + b"\r\n\r\n" + body


def eventually_empty(service: Service) -> bool:
    deadline = time.monotonic() + 5
    aside = service.settings.objects_dir / ".aside"
    while service.objects() or list(aside.iterdir()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_body_over_the_limit_is_413_while_it_is_still_being_sent(service: Service, server: str) -> None:
    with connect(server) as client:
        client.sendall(head())  # no length: the size is only known by counting
        chunk = FILE_HEAD + CLIP + bytes(LIMIT_BYTES)
        client.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        answer = reply(client)  # and yet the body has not ended
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"/problems/upload_too_large" in answer
    assert eventually_empty(service)


def test_a_declared_length_over_the_limit_is_413_before_the_first_byte(service: Service, server: str) -> None:
    with connect(server) as client:
        client.sendall(head(10**12, Expect="100-continue"))
        assert reply(client).startswith(b"HTTP/1.1 413")


def test_a_client_that_hangs_up_leaves_nothing(service: Service, server: str) -> None:
    with connect(server) as client:
        client.sendall(head(100_000) + FILE_HEAD + CLIP)
        deadline = time.monotonic() + 5
        aside = service.settings.objects_dir / ".aside"
        while not list(aside.iterdir()) and time.monotonic() < deadline:  # it has begun
            time.sleep(0.01)
    assert eventually_empty(service)
    assert service.store.list(10) == ([], None)


def test_a_body_without_its_closing_boundary_is_truncated(service: Service, server: str) -> None:
    body = FILE_HEAD + CLIP
    with connect(server) as client:
        client.sendall(head(len(body)) + body)
        answer = reply(client)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"/problems/upload_truncated" in answer
    assert eventually_empty(service)


def test_a_client_that_falls_silent_is_given_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "IDLE_S_MAX", 0.05)
    with running(service.app) as server, connect(server) as client:
        client.sendall(head(100_000) + FILE_HEAD + CLIP)
        assert b"/problems/upload_truncated" in reply(client)
        assert eventually_empty(service)


def test_a_client_that_sends_next_to_nothing_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "IDLE_S_MAX", 0.5)
    with running(service.app) as server, connect(server) as client:
        client.sendall(head(100_000) + FILE_HEAD + CLIP)
        client.settimeout(0.1)
        received, until = b"", time.monotonic() + 5
        while b"upload_truncated" not in received and time.monotonic() < until:
            with contextlib.suppress(TimeoutError, OSError):
                client.sendall(b"x")  # never silent for long
                received += client.recv(65536)
        assert b"/problems/upload_truncated" in received
    assert eventually_empty(service)


def test_no_more_uploads_are_read_at_a_time_than_there_are_places_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = service.app
    app.state.services.uploads.count_max = 2
    with running(app) as server:
        halves = [connect(server) for _ in range(2)]
        for client in halves:
            client.sendall(head(100_000) + FILE_HEAD + CLIP)
        aside = service.settings.objects_dir / ".aside"
        until = time.monotonic() + 5
        while len(list(aside.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        answer = httpx.post(f"{server}/upscale", files={"file": ("a.mp4", CLIP)})
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/too_busy")
        assert int(answer.headers["retry-after"]) > 0
        for client in halves:
            client.close()
        assert eventually_empty(service)
        assert httpx.post(f"{server}/upscale", files={"file": ("a.mp4", CLIP)}).status_code == 202


def test_an_upload_is_never_held_in_memory(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most that gathers between two writes is a chunk of storage and one of the network."""
    written: list[int] = []
    writer_of = service.storage.writer

    def spying(key: str) -> object:
        writer = writer_of(key)
        write = writer.write
        if key.endswith("/input"):
            monkeypatch.setattr(writer, "write", lambda data: (written.append(len(data)), write(data))[1])
        return writer

    monkeypatch.setattr(service.storage, "writer", spying)
    size_bytes = 8 * intake.CHUNK_BYTES
    service.settings = service.settings.model_copy(update={"upload_bytes_max": size_bytes})

    def chunks() -> Iterator[bytes]:
        yield FILE_HEAD + CLIP
        for _ in range(100):
            yield bytes(65536)
        yield b"\r\n--B--\r\n"

    with running(service.app) as server:
        answer = httpx.post(
            f"{server}/upscale",
            content=chunks(),
            headers={"content-type": "multipart/form-data; boundary=B"},
        )
    assert answer.status_code == 202
    assert sum(written) == len(CLIP) + 100 * 65536
    assert max(written) < 2 * intake.CHUNK_BYTES


def test_a_server_that_stops_in_mid_upload_leaves_nothing(service: Service) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def receive() -> dict[str, object]:
            if begun.is_set():
                await asyncio.sleep(60)
            begun.set()
            return {"type": "http.request", "body": FILE_HEAD + CLIP, "more_body": True}

        async def send(_message: object) -> None: ...

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/upscale",
            "query_string": b"",
            "headers": [(b"content-type", b"multipart/form-data; boundary=B")],
        }
        # A scope of anyio cancels every await inside, again and again; only a shield lets one through.
        async with create_task_group() as group:
            group.start_soon(service.app, scope, receive, send)
            await begun.wait()
            await asyncio.sleep(0.1)
            group.cancel_scope.cancel()

    asyncio.run(main())
    assert eventually_empty(service)


def test_openapi_describes_the_form(service: Service) -> None:
    schema = service.ask("GET", "/openapi.json").json()
    body = schema["paths"]["/upscale"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(body["schema"]["properties"]) == {*SOURCES, *Options.model_fields, *Handling.model_fields}
    assert "null" not in str(body), "a form has none"
    json.dumps(schema)
