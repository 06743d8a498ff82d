"""Exchanges: what is said to the server, by either client. Lives through restarts of the server.

A request that got no answer is sent again: an upload under one Idempotency-Key, so that it makes one job; a
download from the byte where it stopped; a stream of events from the job as it is then. Not here: who waits
and how (client.py, aio.py), when to give up (patience.py), what is kept between two runs (submitting.py).
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from upscaled_client import pieces
from upscaled_client.answers import Events, checked, parsed, refusal_of
from upscaled_client.effects import Aside, Exchange, Give, Next, Open, Pause, Send
from upscaled_client.errors import JobFailed, Refused, ResultDamaged, Unreachable
from upscaled_client.patience import Patience, retry_after_s
from upscaled_client.pieces import OnBytes, Pieces
from upscaled_client.records import Job, JobPage, Model, ModelList, Wanted
from upscaled_client.transfers import Receiving, Told

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


def ignore(*_: object) -> None:
    """For callers who don't want to be told."""


class Exchanges:
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
    ) -> Exchange[Job]:
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

    def estimate(self, source: Path, options: Mapping[str, object], *, key: str) -> Exchange[Job]:
        """A job that was only looked into, when that is done."""
        job = yield from self.upload(source, options, key=key, to="/estimate")
        return job if job.is_over else (yield from self.wait(job.id))

    def upload_url(self, url: str, options: Mapping[str, object], *, key: str) -> Exchange[Job]:
        return (yield from self._post_named({"url": url}, options, key))

    def _post_named(
        self, source: Mapping[str, str], options: Mapping[str, object], key: str, to: str = "/upscale"
    ) -> Exchange[Job]:
        """The server has the file, or knows where it is."""
        fields = {**source, **_fields(options)}
        request = self._http.build_request(
            "POST",
            to,
            files={name: (None, value) for name, value in fields.items()},
            headers={"Idempotency-Key": key},
            timeout=NAMED_TIMEOUT,
        )
        return parsed(Job, (yield from self._until_answered(lambda: (yield Send(request)))))

    def _post_file(
        self, source: Path, options: Mapping[str, object], key: str, on_sent: OnBytes, to: str
    ) -> Exchange[Job]:
        fields = _fields(options)

        def attempt() -> Exchange[httpx.Response]:
            with Told(source, on_sent) as file:  # opened anew: what was read is gone
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

        return parsed(Job, (yield from self._until_answered(attempt)))

    def job(self, job_id: str) -> Exchange[Job]:
        return parsed(Job, (yield from self._ask("GET", _path(job_id))))

    def cancel(self, job_id: str) -> Exchange[Job]:
        return parsed(Job, (yield from self._ask("POST", f"{_path(job_id)}/cancel")))

    def rerun(self, job_id: str, options: Mapping[str, object], *, key: str) -> Exchange[Job]:
        headers = {"Idempotency-Key": key}
        return parsed(
            Job, (yield from self._ask("POST", f"{_path(job_id)}/rerun", json=options, headers=headers))
        )

    def delete(self, job_id: str) -> Exchange[None]:
        try:
            yield from self._ask("DELETE", _path(job_id))
        except Refused as error:
            if error.status != httpx.codes.NOT_FOUND:  # which an answer that got lost is followed by, too
                raise

    def jobs(self, wanted: Wanted, *, limit: int, cursor: str | None) -> Exchange[JobPage]:
        asked = {"limit": limit, "cursor": cursor, **wanted.query}
        given = {name: value for name, value in asked.items() if value not in (None, [])}
        return parsed(JobPage, (yield from self._ask("GET", "/jobs", params=given)))

    def models(self) -> Exchange[tuple[Model, ...]]:
        return parsed(ModelList, (yield from self._ask("GET", "/models"))).models

    def wait(self, job_id: str, on_job: OnJob = ignore) -> Exchange[Job]:
        """Look at the job until it is over; `on_job` is told what was seen each time."""
        pause_s = LOOK_S_FIRST
        while True:
            answer = yield from self._ask("GET", _path(job_id))
            job = parsed(Job, answer)
            on_job(job)
            if job.is_over:
                return job
            yield Pause(min(pause_s, retry_after_s(answer.headers.get("retry-after")) or LOOK_S_MAX))
            pause_s = min(LOOK_S_MAX, pause_s * 1.5)

    def events(self, job_id: str) -> Exchange[None]:
        """Give the job at each change and at least once a second, until it is over."""
        request = self._http.build_request("GET", f"{_path(job_id)}/events", headers=_PLAIN)
        while True:
            yield from self._until_answered(lambda: (yield Open(request)))
            try:
                events = Events()
                while (chunk := (yield Next())) is not None:
                    for job in events.of(chunk):
                        yield Give(job)
                        if job.is_over:
                            return
            except httpx.TransportError:
                pass  # each event holds all of the job: nothing is missed
            yield Pause(AGAIN_S)

    def download(self, job: Job, target: Path, on_received: OnBytes = ignore) -> Exchange[None]:
        """Fetch the result of a job that succeeded into `target`, which appears whole or not at all."""
        if job.links.result is None:
            raise JobFailed(_why_none(job), job)
        path = f"{_path(job.id)}/result"  # the link itself is from the root of a host, which may be a proxy's
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
        try:
            with aside.open("xb") as file:
                receiving = Receiving(file, on_received)
                yield from self._until_answered(lambda: self._receive(path, receiving))
                file.flush()
                yield Aside(lambda: os.fsync(file.fileno()))
            if (job.report or {}).get("result_sha256") not in {None, receiving.sha256}:
                raise ResultDamaged(f"what came from {path} is not what the server made")
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)

    def _receive(self, path: str, receiving: Receiving) -> Exchange[httpx.Response]:
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

    def _ask(self, method: str, path: str, **more: Any) -> Exchange[httpx.Response]:
        request = self._http.build_request(method, path, **more)
        return (yield from self._until_answered(lambda: (yield Send(request))))

    def _until_answered(self, attempt: Callable[[], Exchange[httpx.Response]]) -> Exchange[httpx.Response]:
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
                    return checked(answer)
                refusal = refusal_of(answer)
                reason, asked_s = str(refusal), retry_after_s(answer.headers.get("retry-after"))
            wait_s = attempts.failed(began_at=began_at, now=time.monotonic(), asked_s=asked_s)
            if wait_s is None:
                if refusal is not None and refusal.status == httpx.codes.TOO_MANY_REQUESTS:
                    raise refusal  # such as what our key may do in a day: the server is there
                raise Unreachable(f"{self.server}: {reason}")
            yield Pause(wait_s)


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
