"""Flows: what is said to the server, by either client. Lives through restarts of the server.

A request that got no answer is sent again: an upload under one Idempotency-Key, so that it makes one job; a
download from the byte where it stopped; a stream of events from the job as it is then. Not here: who waits
and how (client.py, aio.py), when to give up (patience.py), what is kept between two runs (submitting.py).
"""

import hashlib
import io
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from upscaled_client import pieces
from upscaled_client.effects import Aside, Flow, Give, Next, Open, Pause, Send
from upscaled_client.errors import JobFailed, Refused, ResultDamaged, Unreachable, UpscaledError
from upscaled_client.patience import Patience, retry_after_s
from upscaled_client.pieces import OnBytes, Pieces
from upscaled_client.records import Job, JobPage, Model, ModelList, Record, Wanted

VERSION: Final = "/v1"  # of the protocol; without it a server answers in the newest that it knows
# For silence: how long a transfer lasts as a whole is the network's matter.
TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0, pool=5.0)
# The server may have gigabytes to sync to its disk.
UPLOAD_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0, pool=5.0)
# It reads, or fetches, all of the file before it answers.
NAMED_TIMEOUT: Final = httpx.Timeout(960.0, connect=5.0, pool=5.0)
LOOK_S_FIRST: Final = 0.1  # a small picture is done by then; later looks come at the pace the server asks for
LOOK_S_MAX: Final = 5.0
AGAIN_S: Final = 1.0  # before a stream of events that ended is opened again
_COME_BACK: Final = frozenset({429, 502, 503, 504})
_PLAIN: Final = {"Accept-Encoding": "identity"}  # what is written down need not come again

OnJob = Callable[[Job], None]
R = TypeVar("R", bound=Record)


def ignore(*_: object) -> None:
    """For callers who don't want to be told."""


class Flows:
    """Of one server. `http` only makes the requests, as it knows the server's address and our key."""

    def __init__(self, http: httpx.Client | httpx.AsyncClient, patience: Patience) -> None:
        self._http = http
        self._patience = patience

    @property
    def server(self) -> str:
        """Its address, without a password."""
        address = str(self._http.base_url.copy_with(username=None, password=None))
        return address.rstrip("/").removesuffix(VERSION)

    def upload(
        self,
        source: Path,
        options: Mapping[str, object],
        *,
        key: str,
        on_sent: OnBytes = ignore,
        upload_id: str | None = None,
        on_begun: Callable[[str], None] = ignore,
        to: str = "/upscale",
    ) -> Flow[Job]:
        """Post a file under an Idempotency-Key; the job that it became, or had become before.

        A large one goes in pieces: `upload_id` is of one that was begun before, and `on_begun` is told it.
        """
        if source.stat().st_size < pieces.LARGE_BYTES:
            return (yield from self._post_file(source, options, key, on_sent, to))
        sending = Pieces(
            source,
            build=self._http.build_request,
            until_answered=self._until_answered,
            on_sent=on_sent,
        )
        upload_id = yield from sending.send(upload_id, on_begun)
        job = yield from self._post_named({"upload": upload_id}, options, key, to)
        yield from sending.forget(upload_id)
        return job

    def estimate(self, source: Path, options: Mapping[str, object], *, key: str) -> Flow[Job]:
        """A job that was only looked into, when that is done."""
        job = yield from self.upload(source, options, key=key, to="/estimate")
        return job if job.is_over else (yield from self.wait(job.id))

    def upload_url(self, url: str, options: Mapping[str, object], *, key: str) -> Flow[Job]:
        return (yield from self._post_named({"url": url}, options, key))

    def _post_named(
        self, source: Mapping[str, str], options: Mapping[str, object], key: str, to: str = "/upscale"
    ) -> Flow[Job]:
        """The server has the file, or knows where it is."""
        fields = {**source, **_fields(options)}
        request = self._http.build_request(
            "POST",
            to,
            files={name: (None, value) for name, value in fields.items()},
            headers={"Idempotency-Key": key},
            timeout=NAMED_TIMEOUT,
        )
        return _parsed(Job, (yield from self._until_answered(lambda: (yield Send(request)))))

    def _post_file(
        self, source: Path, options: Mapping[str, object], key: str, on_sent: OnBytes, to: str
    ) -> Flow[Job]:
        fields = _fields(options)

        def attempt() -> Flow[httpx.Response]:
            with _Told(source, on_sent) as file:  # opened anew: what was read is gone
                request = self._http.build_request(
                    "POST",
                    to,
                    data=fields,
                    files={"file": (source.name, file)},
                    headers={"Idempotency-Key": key},
                    timeout=UPLOAD_TIMEOUT,
                )
                answer: httpx.Response = yield Send(request)
                return answer

        return _parsed(Job, (yield from self._until_answered(attempt)))

    def job(self, job_id: str) -> Flow[Job]:
        return _parsed(Job, (yield from self._ask("GET", _path(job_id))))

    def cancel(self, job_id: str) -> Flow[Job]:
        return _parsed(Job, (yield from self._ask("POST", f"{_path(job_id)}/cancel")))

    def rerun(self, job_id: str, options: Mapping[str, object], *, key: str) -> Flow[Job]:
        headers = {"Idempotency-Key": key}
        return _parsed(
            Job, (yield from self._ask("POST", f"{_path(job_id)}/rerun", json=options, headers=headers))
        )

    def delete(self, job_id: str) -> Flow[None]:
        try:
            yield from self._ask("DELETE", _path(job_id))
        except Refused as error:
            if error.status != httpx.codes.NOT_FOUND:  # which an answer that got lost is followed by, too
                raise

    def jobs(self, wanted: Wanted, *, limit: int, cursor: str | None) -> Flow[JobPage]:
        asked = {"limit": limit, "cursor": cursor, **wanted.query}
        given = {name: value for name, value in asked.items() if value not in (None, [])}
        return _parsed(JobPage, (yield from self._ask("GET", "/jobs", params=given)))

    def models(self) -> Flow[tuple[Model, ...]]:
        return _parsed(ModelList, (yield from self._ask("GET", "/models"))).models

    def wait(self, job_id: str, on_job: OnJob = ignore) -> Flow[Job]:
        """Look at the job until it is over; `on_job` is told what was seen each time."""
        pause_s = LOOK_S_FIRST
        while True:
            answer = yield from self._ask("GET", _path(job_id))
            job = _parsed(Job, answer)
            on_job(job)
            if job.is_over:
                return job
            yield Pause(min(pause_s, retry_after_s(answer.headers.get("retry-after")) or LOOK_S_MAX))
            pause_s = min(LOOK_S_MAX, pause_s * 1.5)

    def events(self, job_id: str) -> Flow[None]:
        """Give the job at each change and at least once a second, until it is over."""
        request = self._http.build_request("GET", f"{_path(job_id)}/events", headers=_PLAIN)
        while True:
            yield from self._until_answered(lambda: (yield Open(request)))
            try:
                events = _Events()
                while (chunk := (yield Next())) is not None:
                    for job in events.of(chunk):
                        yield Give(job)
                        if job.is_over:
                            return
            except httpx.TransportError:
                pass  # each event holds all of the job: nothing is missed
            yield Pause(AGAIN_S)

    def download(self, job: Job, target: Path, on_received: OnBytes = ignore) -> Flow[None]:
        """Fetch the result of a job that succeeded into `target`, which appears whole or not at all."""
        if job.links.result is None:
            raise JobFailed(_why_none(job), job)
        path = f"{_path(job.id)}/result"  # the link itself is from the root of a host, which may be a proxy's
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
        try:
            with aside.open("xb") as file:
                receiving = _Receiving(file, on_received)
                yield from self._until_answered(lambda: self._receive(path, receiving))
                file.flush()
                yield Aside(lambda: os.fsync(file.fileno()))
            if (job.report or {}).get("result_sha256") not in {None, receiving.sha256}:
                raise ResultDamaged(f"what came from {path} is not what the server made")
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)

    def _receive(self, path: str, receiving: "_Receiving") -> Flow[httpx.Response]:
        """What is still missing, from the server or from where it sends us."""
        headers = _PLAIN | receiving.range
        answer: httpx.Response = yield Open(self._http.build_request("GET", path, headers=headers))
        if answer.has_redirect_location:
            elsewhere = answer.url.join(answer.headers["location"])
            # Not made by `http`, which would tell another host our key.
            answer = yield Open(httpx.Request("GET", elsewhere, headers=headers))
        if answer.is_success:
            receiving.begin(answer)
            while (chunk := (yield Next())) is not None:
                receiving.take(chunk)
        return answer

    def _ask(self, method: str, path: str, **more: Any) -> Flow[httpx.Response]:
        request = self._http.build_request(method, path, **more)
        return (yield from self._until_answered(lambda: (yield Send(request))))

    def _until_answered(self, attempt: Callable[[], Flow[httpx.Response]]) -> Flow[httpx.Response]:
        """The attempt's answer if that is a success; attempts are repeated while the server is away or busy.

        Raises Refused, Unreachable
        """
        attempts = self._patience.begin()
        while True:
            began_at = time.monotonic()
            asked_s: float | None = None
            refusal: Refused | None = None
            try:
                answer = yield from attempt()
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise Unreachable(f"{self.server}: {error}") from error
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
            else:
                self._patience.heard()
                if answer.status_code not in _COME_BACK:
                    return _checked(answer)
                refusal = _refusal(answer)
                reason, asked_s = str(refusal), retry_after_s(answer.headers.get("retry-after"))
            wait_s = attempts.failed(began_at=began_at, now=time.monotonic(), asked_s=asked_s)
            if wait_s is None:
                if refusal is not None and refusal.status == httpx.codes.TOO_MANY_REQUESTS:
                    raise refusal  # such as what our key may do in a day: the server is there
                raise Unreachable(f"{self.server}: {reason}")
            yield Pause(wait_s)


class _Told(io.FileIO):
    """A file on its way out, which tells how far it is."""

    def __init__(self, path: Path, on_sent: OnBytes) -> None:
        super().__init__(path)
        self._on_sent = on_sent
        self._size_bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        self._on_sent(self.tell(), self._size_bytes)
        return data


class _Receiving:
    """A file on its way in: what is there, its digest, and the range that is missing."""

    def __init__(self, file: io.BufferedWriter, on_received: OnBytes) -> None:
        self._file, self._on_received = file, on_received
        self._digest = hashlib.sha256()
        self._done = self._total = 0

    @property
    def range(self) -> dict[str, str]:
        return {"Range": f"bytes={self._done}-"} if self._done else {}

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def begin(self, answer: httpx.Response) -> None:
        if answer.status_code != httpx.codes.PARTIAL_CONTENT:  # whole, whatever we had asked for
            self._file.seek(0)
            self._file.truncate()
            self._digest, self._done = hashlib.sha256(), 0
        self._total = self._done + int(answer.headers.get("content-length", 0))

    def take(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self._done += len(chunk)
        self._on_received(self._done, self._total)


class _Events:
    """Server-sent events out of the pieces that they come in."""

    def __init__(self) -> None:
        self._left = b""

    def of(self, chunk: bytes) -> Iterator[Job]:
        *events, self._left = (self._left + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            data = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
            if data:
                yield _read(Job, b"\n".join(data))


def _text(value: object) -> str:
    """As a field of a form has it."""
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


def _fields(options: Mapping[str, object]) -> dict[str, str]:
    return {name: _text(value) for name, value in options.items() if value is not None}


def _path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _why_none(job: Job) -> str:
    reason = f": {job.error.message}" if job.error else ""
    return f"the job {'is ' if not job.is_over else ''}{job.state}{reason} ({job.links.self})"


def _parsed(kind: type[R], answer: httpx.Response) -> R:
    return _read(kind, answer.content)


def _read(kind: type[R], content: bytes) -> R:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise UpscaledError(f"this is no upscaled server: {where}: {first['msg']}") from error


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    raise _refusal(answer)


def _refusal(answer: httpx.Response) -> Refused:
    """What the problem+json says, or the status where a proxy answered."""
    try:
        problem: Any = answer.json()
        detail = problem.get("detail") or problem["title"]
        kind, field, value = problem.get("type"), problem.get("field"), problem.get("value")
    except (ValueError, AttributeError, KeyError):
        detail = f"HTTP {answer.status_code} {answer.reason_phrase}"
        kind = field = value = None
    message = f"{field}: {detail}" if field and str(field) not in str(detail) else str(detail)
    return Refused(message, status=answer.status_code, type=kind, field=field, value=value)
