"""/uploads: tus 1.0 by its rules, on files and on a real SeaweedFS, and what becomes of an upload."""

import base64
import contextlib
import hashlib
import random
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx
import pytest
from tusclient import client as tus
from tusclient.exceptions import TusCommunicationError

from service.access.keys import create
from service.housekeeping.sweeper import Sweeper
from service.jobs import keys
from service.objects.s3_writer import PART_BYTES
from service.uploads import records
from tests.service.api.harness import LIMIT_BYTES, Service, running
from tests.service.api.samples import CLIP, png

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
LARGE = CLIP[:24] + random.Random(5).randbytes(2 * PART_BYTES + 4321)


@pytest.fixture(params=["files", "s3"])
def service(request: pytest.FixtureRequest, service: Service) -> Iterator[Service]:
    """Of any storage. That of S3 is shared, so what a test leaves there is removed."""
    if request.param == "s3":
        service.storage = request.getfixturevalue("s3_storage")
    yield service
    for prefix in ("uploads/", "jobs/"):
        service.storage.delete_prefix(prefix)


@pytest.fixture
def large(service: Service) -> Service:
    service.settings = service.settings.model_copy(update={"upload_bytes_max": 2 * len(LARGE)})
    return service


def begin(service: Service, size_bytes: int = len(CLIP), **headers: str) -> str:
    answer = service.ask("POST", "/uploads", headers={**TUS, "Upload-Length": str(size_bytes), **headers})
    assert (answer.status_code, answer.content) == (201, b"")
    return str(answer.headers["location"])


def send(service: Service, path: str, data: bytes, offset: int = 0, **headers: str) -> httpx.Response:
    return service.ask(
        "PATCH", path, content=data, headers={**PIECE, "Upload-Offset": str(offset), **headers}
    )


def offset_of(service: Service, path: str) -> int:
    return int(service.ask("HEAD", path, headers=TUS).headers["upload-offset"])


def upscale(service: Service, path: str, **headers: str) -> httpx.Response:
    given = {"upload": (None, path.rpartition("/")[2]), "scale": (None, "2")}
    return service.ask("POST", "/upscale", files=given, headers=headers)


def code(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).removeprefix("/problems/")


def metadata(name: str) -> str:
    return f"filename {base64.b64encode(name.encode()).decode()},filetype dmlkZW8vbXA0,empty"


def test_discovery_tells_what_is_spoken(service: Service) -> None:
    answer = service.ask("OPTIONS", "/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["tus-extension"] == "creation,checksum,expiration,termination"
    assert answer.headers["tus-max-size"] == str(LIMIT_BYTES)
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"


def test_pieces_become_a_job_like_that_of_a_file_sent_at_once(service: Service) -> None:
    path = begin(service, **{"Upload-Metadata": metadata("C:\\films\\Höhle.mp4")})
    for start, stop in ((0, 10), (10, 11), (11, len(CLIP))):
        answer = send(service, path, CLIP[start:stop], start)
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(stop))
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert offset_of(service, path) == stop

    answer = upscale(service, path)
    assert answer.status_code == 202
    job = answer.json()
    assert (job["kind"], job["filename"], job["options"]["scale"]) == ("video", "Höhle.mp4", 2)
    assert (job["size_bytes"], job["sha256"]) == (len(CLIP), hashlib.sha256(CLIP).hexdigest())
    assert service.storage.get(keys.input_key(job["id"])) == CLIP
    assert offset_of(service, path) == len(CLIP)


def test_an_upload_makes_several_jobs_and_under_one_key_one(service: Service) -> None:
    path = begin(service)
    send(service, path, CLIP)
    first = upscale(service, path, **{"Idempotency-Key": "k"}).json()["id"]
    assert upscale(service, path, **{"Idempotency-Key": "k"}).json()["id"] == first
    second = upscale(service, path).json()["id"]
    assert second != first
    assert service.ask("DELETE", path, headers=TUS).status_code == 204
    for job_id in (first, second):
        assert service.storage.get(keys.input_key(job_id)) == CLIP
    assert list(service.storage.list("uploads/")) == []


def test_large_pieces_are_kept_as_they_come_and_come_out_unchanged(large: Service) -> None:
    path = begin(large, len(LARGE))
    stops = [PART_BYTES - 1, PART_BYTES + 5, 2 * PART_BYTES, len(LARGE)]
    for start, stop in zip([0, *stops], stops, strict=False):
        assert send(large, path, LARGE[start:stop], start).status_code == 204
    job = upscale(large, path).json()
    assert job["sha256"] == hashlib.sha256(LARGE).hexdigest()
    assert large.storage.get(keys.input_key(job["id"])) == LARGE


def test_what_came_before_a_cut_is_kept(large: Service) -> None:
    path = begin(large, len(LARGE))
    came = PART_BYTES + 4000
    with running(large.app) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as line:
            head = f"PATCH {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(LARGE)}\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in PIECE.items())
            line.sendall(f"{head}Upload-Offset: 0\r\n\r\n".encode() + LARGE[:came])
            time.sleep(0.3)
        deadline = time.monotonic() + 20
        while offset_of(large, path) < came and time.monotonic() < deadline:
            time.sleep(0.05)
    assert offset_of(large, path) == came
    send(large, path, LARGE[came:], came)
    assert upscale(large, path).json()["sha256"] == hashlib.sha256(LARGE).hexdigest()


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


class Cut:
    """ASGI around an application: of the first pieces only a part comes in before the line is cut."""

    def __init__(self, app, cuts: int) -> None:
        self._app, self._left = app, cuts
        self.offsets: list[int] = []

    async def __call__(self, scope, receive, send) -> None:
        if scope["method"] == "PATCH":
            self.offsets.append(int(dict(scope["headers"])[b"upload-offset"]))
        if scope["method"] != "PATCH" or not self._left:
            await self._app(scope, receive, send)
            return
        self._left -= 1
        messages = 0

        async def receive_some():
            nonlocal messages
            messages += 1
            return await receive() if messages < 3 else {"type": "http.disconnect"}

        async def lost(_message) -> None:
            raise ConnectionResetError("the line is cut")

        await self._app(scope, receive_some, lost)


def test_tuspy_goes_on_after_cuts(large: Service, tmp_path) -> None:
    (tmp_path / "clip.mp4").write_bytes(LARGE)
    cut = Cut(large.app, cuts=2)
    with running(cut) as address, (tmp_path / "clip.mp4").open("rb") as file:
        uploader = tus.TusClient(f"{address}/v1/uploads").uploader(
            file_stream=file,
            metadata={"filename": "clip.mp4"},
            chunk_size=PART_BYTES + 1000,
            retries=5,
            retry_delay=0,
            upload_checksum=False,
        )
        uploader.upload()
        path = uploader.url.removeprefix(address)
    assert len(cut.offsets) > 3
    assert upscale(large, path).json()["sha256"] == hashlib.sha256(LARGE).hexdigest()


def test_tuspy_goes_on_where_another_run_of_it_stopped_with_checksums(
    large: Service, tmp_path, opened: contextlib.ExitStack
) -> None:
    (tmp_path / "clip.mp4").write_bytes(LARGE)
    file = opened.enter_context((tmp_path / "clip.mp4").open("rb"))

    def uploader(address: str, url: str | None = None):
        return tus.TusClient(f"{address}/uploads").uploader(
            file_stream=file, url=url, chunk_size=PART_BYTES, upload_checksum=True
        )

    with running(large.app) as address:
        first = uploader(address)
        first.upload_chunk()
        path = first.url.removeprefix(address)
        assert offset_of(large, path) == PART_BYTES
    with running(large.app) as address:
        second = uploader(address, url=address + path)
        assert second.offset == PART_BYTES
        second.upload()
        with pytest.raises(TusCommunicationError):
            uploader(address, url=f"{address}/uploads/none").upload()
    assert upscale(large, path).json()["sha256"] == hashlib.sha256(LARGE).hexdigest()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_piece_with_a_checksum_counts_as_a_whole_or_not_at_all(service: Service, algorithm: str) -> None:
    path = begin(service)
    right = base64.b64encode(hashlib.new(algorithm, CLIP[:100]).digest()).decode()
    headers = {"Upload-Checksum": f"{algorithm} {right}"}
    refused = send(service, path, CLIP[1:101], **headers)
    assert (refused.status_code, code(refused)) == (460, "checksum_mismatch")
    assert refused.headers["tus-resumable"] == "1.0.0"
    assert offset_of(service, path) == 0
    assert send(service, path, CLIP[:100], **headers).headers["upload-offset"] == "100"
    assert [key for key in service.storage.list("uploads/") if "piece" in key] == []


@pytest.mark.parametrize(
    ("method", "headers", "data", "expected"),
    [
        ("POST", {"Tus-Resumable": "0.2.2"}, b"", (412, "other_protocol")),
        ("POST", {"Tus-Resumable": ""}, b"", (412, "other_protocol")),
        ("POST", {"Upload-Length": "-1"}, b"", (400, "bad_request")),
        ("POST", {"Upload-Length": "ten"}, b"", (400, "bad_request")),
        ("POST", {"Upload-Length": ""}, b"", (400, "bad_request")),
        ("POST", {"Upload-Length": str(LIMIT_BYTES + 1)}, b"", (413, "upload_too_large")),
        ("POST", {"Upload-Length": "9" * 18}, b"", (413, "upload_too_large")),
        ("POST", {"Upload-Metadata": "filename ???"}, b"", (400, "bad_request")),
        ("HEAD", {"Tus-Resumable": "2.0"}, b"", (412, "other_protocol")),
        ("PATCH", {"Tus-Resumable": "2.0"}, CLIP[5:], (412, "other_protocol")),
        ("PATCH", {"Content-Type": "video/mp4"}, CLIP[5:], (415, "not_a_piece")),
        ("PATCH", {"Upload-Offset": "4"}, CLIP[4:], (409, "offset_conflict")),
        ("PATCH", {"Upload-Offset": "6"}, CLIP[6:], (409, "offset_conflict")),
        ("PATCH", {"Upload-Offset": ""}, CLIP[5:], (400, "bad_request")),
        ("PATCH", {}, CLIP, (413, "upload_too_large")),
        ("PATCH", {"Upload-Checksum": "crc32 AAAA"}, CLIP[5:], (400, "bad_request")),
        ("PATCH", {"Upload-Checksum": "sha1 ?"}, CLIP[5:], (400, "bad_request")),
        ("DELETE", {"Tus-Resumable": "2.0"}, b"", (412, "other_protocol")),
    ],
)
def test_what_breaks_the_rules_is_refused_and_changes_nothing(
    service: Service, method: str, headers: dict[str, str], data: bytes, expected: tuple[int, str]
) -> None:
    status, problem = expected
    path = begin(service)
    send(service, path, CLIP[:5])
    asked = {**PIECE, "Upload-Length": str(len(CLIP)), "Upload-Offset": "5", **headers}
    answer = service.ask(method, "/uploads" if method == "POST" else path, content=data, headers=asked)
    assert answer.status_code == status
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert status != 412 or answer.headers["tus-version"] == "1.0.0"
    assert method == "HEAD" or code(answer) == problem
    assert offset_of(service, path) == 5
    assert records.count(service.storage) == 1


def test_more_than_was_announced_is_refused_though_no_length_was_declared(service: Service) -> None:
    path = begin(service, 50)

    def chunks() -> Iterator[bytes]:
        yield CLIP[:40]
        yield CLIP[40:80]

    async def pieces():
        for chunk in chunks():
            yield chunk

    answer = service.ask("PATCH", path, content=pieces(), headers={**PIECE, "Upload-Offset": "0"})
    assert (answer.status_code, code(answer)) == (413, "upload_too_large")
    assert offset_of(service, path) == 40


@pytest.mark.parametrize("upload_id", ["nobody", "0" * 36, "%2e%2e%2fjobs"])
def test_an_upload_that_never_was_is_unknown_to_every_method(service: Service, upload_id: str) -> None:
    for method in ("HEAD", "PATCH", "DELETE"):
        headers = {**PIECE, "Upload-Offset": "0"}
        assert service.ask(method, f"/uploads/{upload_id}", headers=headers).status_code == 404
    answer = upscale(service, upload_id)
    assert (answer.status_code, code(answer)) == (404, "unknown_upload")
    assert service.objects() == []


def test_a_head_tells_all_of_an_upload_and_is_not_kept_by_caches(service: Service) -> None:
    given = metadata("clip.mp4")
    answer = service.ask("HEAD", begin(service, **{"Upload-Metadata": given}), headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["upload-length"] == str(len(CLIP))
    assert answer.headers["upload-metadata"] == given
    assert answer.headers["cache-control"] == "no-store"
    left_s = parsedate_to_datetime(answer.headers["upload-expires"]).timestamp() - time.time()
    assert 86000 < left_s <= 86401


def test_methods_can_be_told_by_a_header(service: Service) -> None:
    path = begin(service)
    headers = {**PIECE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert service.ask("POST", f"/v1{path}", content=CLIP, headers=headers).status_code == 204
    assert offset_of(service, path) == len(CLIP)
    assert service.ask("POST", path, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert service.ask("HEAD", path, headers=TUS).status_code == 404
    refused = service.ask("POST", path, headers=TUS)
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, HEAD, PATCH")


@pytest.mark.parametrize(
    ("data", "status", "problem"),
    [
        (b"", 422, "empty_upload"),
        (b"no film at all, whatever its name says", 415, "not_media"),
        (png(2000, 1000), 422, "frame_too_large"),
    ],
)
def test_what_no_job_can_be_made_of_is_refused_as_a_file_would_be(
    service: Service, data: bytes, status: int, problem: str
) -> None:
    path = begin(service, len(data))
    send(service, path, data)
    answer = upscale(service, path)
    assert (answer.status_code, code(answer)) == (status, problem)
    assert service.objects() == []


def test_a_job_of_an_upload_that_is_not_complete_is_refused(service: Service) -> None:
    path = begin(service)
    send(service, path, CLIP[:-1])
    answer = upscale(service, path)
    assert (answer.status_code, code(answer)) == (409, "upload_incomplete")
    both = {"upload": (None, path), "file": ("a.mp4", CLIP)}
    assert service.ask("POST", "/upscale", files=both).status_code == 422
    send(service, path, CLIP[-1:], len(CLIP) - 1)
    assert upscale(service, path).status_code == 202


def test_uploads_are_those_of_the_key_that_began_them(service: Service) -> None:
    service.settings = service.settings.model_copy(update={"auth": "keys"})
    ann, bob = ({"Authorization": f"Bearer {create(service.storage, name)}"} for name in ("ann", "bob"))
    path = begin(service, **ann)
    assert send(service, path, CLIP, **ann).status_code == 204
    for method in ("HEAD", "PATCH", "DELETE"):
        headers = {**PIECE, "Upload-Offset": "0", **bob}
        assert service.ask(method, path, headers=headers).status_code == 404
    refused = upscale(service, path, **bob)
    assert (refused.status_code, code(refused)) == (404, "unknown_upload")
    assert upscale(service, path, **ann).status_code == 202


def test_only_so_many_uploads_are_kept(service: Service) -> None:
    service.settings = service.settings.model_copy(update={"queue_max": 2})
    paths = [begin(service), begin(service)]
    answer = service.ask("POST", "/uploads", headers={**TUS, "Upload-Length": "9"})
    assert (answer.status_code, code(answer)) == (503, "too_many_uploads")
    assert answer.headers["retry-after"]
    service.ask("DELETE", paths[0], headers=TUS)
    begin(service)


def test_an_upload_for_which_there_is_no_room_is_not_begun(service: Service) -> None:
    with contextlib.suppress(AttributeError):
        service.storage = NearlyFull(service.storage)  # type: ignore[assignment]
    answer = service.ask("POST", "/uploads", headers={**TUS, "Upload-Length": str(LIMIT_BYTES)})
    assert (answer.status_code, code(answer)) == (507, "storage_full")


class NearlyFull:
    """A storage with little room."""

    def __init__(self, storage) -> None:
        self._storage = storage

    def __getattr__(self, name: str):
        return getattr(self._storage, name)

    def free_bytes(self) -> int:
        return LIMIT_BYTES


def test_uploads_expire_and_leave_nothing_whether_they_are_complete_or_not(service: Service) -> None:
    whole, half, young = begin(service), begin(service), begin(service)
    send(service, whole, CLIP)
    send(service, half, CLIP[:9])
    job_id = upscale(service, whole).json()["id"]
    sweeper = Sweeper(service.store, service.storage, service.queue, service.settings)
    sweeper.expire_uploads()
    assert records.count(service.storage) == 3

    service.settings = service.settings.model_copy(update={"upload_ttl_s": 1e-3})
    assert service.ask("HEAD", young, headers=TUS).status_code == 404  # at once, whenever it is removed
    Sweeper(service.store, service.storage, service.queue, service.settings).expire_uploads()
    assert list(service.storage.list("uploads/")) == []
    assert service.storage.get(keys.input_key(job_id)) == CLIP
