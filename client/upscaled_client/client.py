"""Client: an upscaled server for programs that wait. `async` ones take AsyncClient (aio.py).

What is said to the server stands in exchanges.py; here requests are sent and time is waited for.
"""

import os
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from upscaled_client.effects import Aside, Effect, Exchange, Give, Next, Open, Pause, Send, T
from upscaled_client.errors import Unreachable
from upscaled_client.exchanges import TIMEOUT, VERSION, Exchanges, OnJob, ignore
from upscaled_client.patience import PATIENCE_S, Patience
from upscaled_client.pieces import OnBytes
from upscaled_client.records import Job, JobPage, Model, Wanted
from upscaled_client.submitting import new_key, submit

SERVER: Final = "http://127.0.0.1:8000"
KEY: Final = "UPSCALED_KEY"  # of the environment


def connection(server: str, key: str | None) -> dict[str, Any]:
    """What an httpx client of the server is made with.

    Raises Unreachable for what is no address, ValueError for a key and a password at once.
    """
    key = os.environ.get(KEY) or None if key is None else key
    if key is not None and urlsplit(server).username is not None:
        raise ValueError(f"both a key and a password in the server's address: {urlsplit(server).hostname}")
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        address = httpx.URL(server.rstrip("/").removesuffix(VERSION) + VERSION)
    except httpx.InvalidURL as error:
        raise Unreachable(f"{server}: {error}") from error
    return {"base_url": address, "timeout": TIMEOUT, "headers": headers}


class Client:
    """Thread-safe; `with Client(server) as client`, or `close` it.

    server       address, with a user and a password where a proxy asks for them
    key          sent as `Authorization: Bearer`; by default what UPSCALED_KEY says, if anything
    patience_s   how long a server that does not answer is waited for

    Every method raises UpscaledError: Refused, Unreachable, JobFailed or ResultDamaged.
    """

    def __init__(
        self, server: str = SERVER, *, key: str | None = None, patience_s: float = PATIENCE_S
    ) -> None:
        self._http = httpx.Client(**connection(server, key))
        self._exchanges = Exchanges(self._http, Patience(patience_s))

    def submit(
        self,
        source: Path | str,
        target: Path,
        options: Mapping[str, object] | None = None,
        *,
        on_sent: OnBytes = ignore,
        on_job: OnJob = ignore,
    ) -> Job:
        """Upscale one file into another, which appears whole or not at all.

        source     a file, or as text the https address of one, which the server fetches

        Called again with the same files and options after it was broken off, it goes on with the same job.

        options    as fields of POST /upscale: scale, size, width, height, model, strength, codec, quality,
                   format, start, duration, deinterlace, strip, metadata
        on_sent    told the bytes that were sent, and in all
        on_job     told the job, a few times a second
        """
        return self._run(
            submit(self._exchanges, source, target, options or {}, on_sent=on_sent, on_job=on_job)
        )

    def upload(
        self,
        source: Path,
        options: Mapping[str, object] | None = None,
        *,
        key: str | None = None,
        on_sent: OnBytes = ignore,
    ) -> Job:
        """Post a file; the job is safe when this returns.

        key   an Idempotency-Key: the same with the same file and options gives the same job
        """
        return self._run(self._exchanges.upload(source, options or {}, key=key or new_key(), on_sent=on_sent))

    def estimate(self, source: Path, options: Mapping[str, object] | None = None) -> Job:
        """What the file would come to, in `report["estimate"]` of a job that has no result.

        `rerun` makes the result of the same upload.
        """
        return self._run(self._exchanges.estimate(source, options or {}, key=new_key()))

    def upload_url(
        self, url: str, options: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> Job:
        """Let the server fetch the file from its https address; the job is safe when this returns."""
        return self._run(self._exchanges.upload_url(url, options or {}, key=key or new_key()))

    def job(self, job_id: str) -> Job:
        """As it is now."""
        return self._run(self._exchanges.job(job_id))

    def jobs(self, wanted: Wanted | None = None, *, limit: int = 20, cursor: str | None = None) -> JobPage:
        """Newest first; `cursor` is `next` of the page before, and the last has none."""
        return self._run(self._exchanges.jobs(wanted or Wanted(), limit=limit, cursor=cursor))

    def wait(self, job_id: str, on_job: OnJob = ignore) -> Job:
        """The job once it is over, however it ended."""
        return self._run(self._exchanges.wait(job_id, on_job))

    def events(self, job_id: str) -> Iterator[Job]:
        """The job at each change and at least once a second, until it is over."""
        return self._iterate(self._exchanges.events(job_id))

    def download(self, job: Job, target: Path, on_received: OnBytes = ignore) -> None:
        """Fetch the result of a job that succeeded into a file, which appears whole or not at all."""
        self._run(self._exchanges.download(job, target, on_received))

    def cancel(self, job_id: str) -> Job:
        """Stop a job at its next frame; one that is over stays as it is."""
        return self._run(self._exchanges.cancel(job_id))

    def rerun(
        self, job_id: str, options: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> Job:
        """Another job from the same upload: options that are named change, all others stay.

        key   an Idempotency-Key, as of an upload
        """
        return self._run(self._exchanges.rerun(job_id, options or {}, key=key or new_key()))

    def delete(self, job_id: str) -> None:
        """Leave nothing of a job, cancelled if need be; harmless where there is none."""
        self._run(self._exchanges.delete(job_id))

    def models(self) -> tuple[Model, ...]:
        return self._run(self._exchanges.models())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, exchange: Exchange[T]) -> T:
        steps = self._iterate(exchange)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result

    def _iterate(self, exchange: Exchange[T]) -> Generator[Job, None, T]:
        """Do what the exchange asks for; what it has for the caller comes out."""
        doing = _Doing(self._http)
        try:
            effect = next(exchange)
            while True:
                if isinstance(effect, Give):
                    yield effect.job
                try:
                    came = doing.do(effect)
                except httpx.TransportError as error:
                    effect = exchange.throw(error)
                else:
                    effect = exchange.send(came)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            exchange.close()
            doing.open_none()


class _Doing:
    """Effects of one exchange, with the answer that it has open."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._answer: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def do(self, effect: Effect) -> object:
        match effect:
            case Send(request):
                return self._http.send(request)
            case Open(request):
                return self._open(request)
            case Next():
                return next(self._chunks, None)
            case Pause(seconds):
                time.sleep(seconds)
            case Aside(work):
                work()
        return None

    def _open(self, request: httpx.Request) -> httpx.Response:
        self.open_none()
        self._answer = self._http.send(request, stream=True)
        if self._answer.is_error:
            self._answer.read()
        else:
            self._chunks = self._answer.iter_raw()
        return self._answer

    def open_none(self) -> None:
        if self._answer is not None:
            self._answer.close()
