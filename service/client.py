"""Client: send a file to a server, wait for it, fetch the result. Lives through restarts of the server.

A request that got no answer is sent again: the upload under one Idempotency-Key, so that it makes one job;
the download from the byte where it stopped. Not here: progress bars and arguments (command/serving.py).
"""

import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from service.jobs.states import TERMINAL

# For silence: how long a transfer lasts as a whole is the network's matter.
TIMEOUT = httpx.Timeout(30.0, connect=5.0, pool=5.0)
UPLOAD_TIMEOUT = httpx.Timeout(
    60.0, connect=5.0, pool=5.0
)  # the server may have gigabytes to sync to its disk
POLL_S = 0.5
RETRY_S_FIRST = 0.5
RETRY_S_MAX = 10.0
PATIENCE_S = 300.0  # without a single answer; a machine that restarts is back by then
FIRST_PATIENCE_S = 10.0  # before the first answer, the address is more likely wrong than the server away
_COME_BACK = frozenset({429, 502, 503, 504})

T = TypeVar("T")
OnProgress = Callable[[int, int | None], None]  # frames done, frames in all (None: not yet known)


class SubmitError(Exception):
    """What the server refused, or why the job failed, in one line."""


def submit(
    source: Path,
    target: Path,
    *,
    server: str,
    options: Mapping[str, str],
    on_progress: OnProgress = lambda _done, _total: None,
    patience_s: float = PATIENCE_S,
) -> dict[str, Any]:
    """Upscale `source` on the server into `target`, which appears whole or not at all; the finished job."""
    with httpx.Client(base_url=server, timeout=TIMEOUT) as http:
        client = _Client(http, patience_s)
        job = client.upload(source, options)
        here = job["links"]["self"]
        while job["state"] not in TERMINAL:
            time.sleep(POLL_S)
            job = client.ask("GET", here).json()
            on_progress(job["progress"]["frames_done"], job["progress"]["frames_total"])
        if job["state"] != "succeeded":
            reason = (job.get("error") or {}).get("message", "")
            raise SubmitError(f"the job {job['state']}{': ' if reason else ''}{reason} ({server}{here})")
        client.download(job["links"]["result"], target, sha256=(job.get("report") or {}).get("result_sha256"))
        return dict(job)


class _Client:
    def __init__(self, http: httpx.Client, patience_s: float) -> None:
        self._http = http
        self._patience_s = patience_s
        self._was_heard = False

    def upload(self, source: Path, options: Mapping[str, str]) -> dict[str, Any]:
        key = uuid.uuid4().hex

        def attempt() -> httpx.Response:
            with source.open("rb") as file:  # opened anew: what was read is gone
                return self._http.post(
                    "/upscale",
                    data=dict(options),
                    files={"file": (source.name, file)},
                    headers={"Idempotency-Key": key},
                    timeout=UPLOAD_TIMEOUT,
                )

        answer: dict[str, Any] = self._retry(lambda: _checked(attempt())).json()
        return answer

    def ask(self, method: str, path: str) -> httpx.Response:
        return self._retry(lambda: _checked(self._http.request(method, path)))

    def download(self, path: str, target: Path, *, sha256: str | None) -> None:
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
        try:
            with aside.open("w+b") as file:

                def attempt() -> None:
                    start = file.seek(0, os.SEEK_END)
                    headers = {"Range": f"bytes={start}-"} if start else {}
                    with self._reading(path, headers) as answer:
                        if answer.is_error:
                            answer.read()
                        _checked(answer)
                        if answer.status_code == 200:  # whole, whatever we had asked for
                            file.seek(0)
                            file.truncate()
                        for chunk in answer.iter_raw():  # as it comes: what is written need not come again
                            file.write(chunk)

                self._retry(attempt)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                if sha256 not in {None, hashlib.file_digest(file, "sha256").hexdigest()}:
                    raise SubmitError(f"what came from {path} is not what the server made")
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)

    @contextmanager
    def _reading(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """The answer to a GET, or where the server sends us elsewhere, the answer from there.

        It is told nothing but `headers`: a password in the server's address is not meant for others.
        """
        with self._http.stream("GET", path, headers=headers) as answer:
            if not answer.has_redirect_location:
                yield answer
                return
            elsewhere = answer.url.join(answer.headers["location"])
        with httpx.stream("GET", elsewhere, headers=headers, timeout=TIMEOUT) as answer:
            yield answer

    def _retry(self, attempt: Callable[[], T]) -> T:
        """The attempt's result; repeated with growing, jittered delays while the server can't be reached."""
        delay_s = RETRY_S_FIRST
        silent_since: float | None = None
        while True:
            began_at = time.monotonic()
            try:
                result = attempt()
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise SubmitError(f"{self._http.base_url}: {error}") from error
            except (httpx.TransportError, _ComeBackError) as error:
                now = time.monotonic()
                if silent_since is None or now - began_at > RETRY_S_MAX:  # a long attempt was no silence
                    silent_since, delay_s = now, RETRY_S_FIRST
                patience_s = self._patience_s if self._was_heard else min(self._patience_s, FIRST_PATIENCE_S)
                if now + delay_s - silent_since > patience_s:
                    raise SubmitError(f"{self._http.base_url}: {error or type(error).__name__}") from error
            else:
                self._was_heard = True
                return result
            time.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads clients, guards nothing
            delay_s = min(RETRY_S_MAX, delay_s * 2)


class _ComeBackError(Exception):
    """The server answered that it can't right now."""


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer itself when it is a success; raises what the problem+json says otherwise."""
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
        detail = problem.get("detail") or problem.get("title")
        field = problem.get("field")
    except (ValueError, AttributeError):  # a proxy's page, not ours
        detail, field = f"HTTP {answer.status_code} {answer.reason_phrase}", None
    message = f"{field}: {detail}" if field and field not in str(detail) else str(detail)
    if answer.status_code in _COME_BACK:
        raise _ComeBackError(message)
    raise SubmitError(message)
