"""AsyncClient: the same as Client, for programs that wait for many things at once (asyncio or trio).

What is said to the server stands in exchanges.py; here requests are sent and time is waited for.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import httpx

from upscaled_client.client import SERVER, connection
from upscaled_client.effects import Aside, Effect, Exchange, Give, Next, Open, Pause, Send, T
from upscaled_client.exchanges import Exchanges, OnJob, ignore
from upscaled_client.patience import PATIENCE_S, Patience
from upscaled_client.pieces import OnBytes
from upscaled_client.records import Job, JobPage, Model, Wanted
from upscaled_client.submitting import new_key, submit


class AsyncClient:
    """`async with AsyncClient(server) as client`; every method does what Client's of that name does.

    Disks are read and written on the thread of the event loop, a piece at a time.
    """

    def __init__(
        self, server: str = SERVER, *, key: str | None = None, patience_s: float = PATIENCE_S
    ) -> None:
        self._http = httpx.AsyncClient(**connection(server, key))
        self._exchanges = Exchanges(self._http, Patience(patience_s))

    async def submit(
        self,
        source: Path | str,
        target: Path,
        options: Mapping[str, object] | None = None,
        *,
        on_sent: OnBytes = ignore,
        on_job: OnJob = ignore,
    ) -> Job:
        exchange = submit(self._exchanges, source, target, options or {}, on_sent=on_sent, on_job=on_job)
        return await self._run(exchange)

    async def upload(
        self,
        source: Path,
        options: Mapping[str, object] | None = None,
        *,
        key: str | None = None,
        on_sent: OnBytes = ignore,
    ) -> Job:
        exchange = self._exchanges.upload(source, options or {}, key=key or new_key(), on_sent=on_sent)
        return await self._run(exchange)

    async def estimate(self, source: Path, options: Mapping[str, object] | None = None) -> Job:
        return await self._run(self._exchanges.estimate(source, options or {}, key=new_key()))

    async def upload_url(
        self, url: str, options: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> Job:
        return await self._run(self._exchanges.upload_url(url, options or {}, key=key or new_key()))

    async def job(self, job_id: str) -> Job:
        return await self._run(self._exchanges.job(job_id))

    async def jobs(
        self, wanted: Wanted | None = None, *, limit: int = 20, cursor: str | None = None
    ) -> JobPage:
        return await self._run(self._exchanges.jobs(wanted or Wanted(), limit=limit, cursor=cursor))

    async def wait(self, job_id: str, on_job: OnJob = ignore) -> Job:
        return await self._run(self._exchanges.wait(job_id, on_job))

    def events(self, job_id: str) -> AsyncGenerator[Job]:
        return self._iterate(self._exchanges.events(job_id), [])

    async def download(self, job: Job, target: Path, on_received: OnBytes = ignore) -> None:
        await self._run(self._exchanges.download(job, target, on_received))

    async def cancel(self, job_id: str) -> Job:
        return await self._run(self._exchanges.cancel(job_id))

    async def rerun(
        self, job_id: str, options: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> Job:
        return await self._run(self._exchanges.rerun(job_id, options or {}, key=key or new_key()))

    async def delete(self, job_id: str) -> None:
        await self._run(self._exchanges.delete(job_id))

    async def models(self) -> tuple[Model, ...]:
        return await self._run(self._exchanges.models())

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, exchange: Exchange[T]) -> T:
        result: list[T] = []
        async with aclosing(self._iterate(exchange, result)) as steps:
            async for _ in steps:
                pass
        return result[0]

    async def _iterate(self, exchange: Exchange[T], result: list[T]) -> AsyncGenerator[Job]:
        """Do what the exchange asks for; what it has for the caller comes out, and its result goes into a
        list, as a generator that is awaited returns none."""
        doing = _Doing(self._http)
        try:
            effect = next(exchange)
            while True:
                if isinstance(effect, Give):
                    yield effect.job
                try:
                    came = await doing.do(effect)
                except httpx.TransportError as error:
                    effect = exchange.throw(error)
                else:
                    effect = exchange.send(came)
        except StopIteration as end:
            result.append(end.value)
        finally:
            exchange.close()
            await doing.open_none()


class _Doing:
    """Effects of one exchange, with the answer that it has open."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._answer: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def do(self, effect: Effect) -> object:
        match effect:
            case Send(request):
                return await self._http.send(request)
            case Open(request):
                return await self._open(request)
            case Next():
                return None if self._chunks is None else await anext(self._chunks, None)
            case Pause(seconds):
                await anyio.sleep(seconds)
            case Aside(work):
                await anyio.to_thread.run_sync(work)
        return None

    async def _open(self, request: httpx.Request) -> httpx.Response:
        await self.open_none()
        self._answer = await self._http.send(request, stream=True)
        if self._answer.is_error:
            await self._answer.aread()
        else:
            self._chunks = self._answer.aiter_raw()
        return self._answer

    async def open_none(self) -> None:
        if self._answer is not None:
            with anyio.CancelScope(shield=True):  # also where we are being cancelled
                await self._answer.aclose()
