"""Delivering: messages about jobs that ended, from whichever API process takes them first.

The store notes with a job's end that its receiver is to be told, and hands that out under a lease, so a
process that dies leaves it to another. It comes out again as long as something is to be told: what that is,
and what was done, deliveries.py says. A message may so arrive twice, under one id. Jobs never wait for this.
Start reading at `Deliverer.deliver`.
"""

import asyncio
import json
import logging
import random
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from service import metrics
from service.errors import AddressRefused, AddressUnknown, NamesUnavailable, TransientError, UnknownJob
from service.jobs import keys
from service.jobs.index import DueHook
from service.jobs.model import Job
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.outgoing import Destination, Outgoing
from service.webhooks import deliveries
from service.webhooks.deliveries import Attempt, Delivery, Log, delay_s, expected
from service.webhooks.signing import secrets_of, signed

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0  # between two looks into the store
AT_ONCE_MAX: Final = 32
ATTEMPT_S_MAX: Final = 15.0  # a receiver that takes longer should take the message and work afterwards
LEASE_S: Final = 60.0  # for two attempts, a slow storage and a slow name server
AWAY_S: Final = 10.0  # how long nobody else asks for one that did not answer
LATEST: Final = 1.2  # of a delay: those who were refused together don't come back together
GONE: Final = 410
USER_AGENT: Final = "upscaled-webhooks/1"

Show = Callable[[Job], dict[str, Any]]


class Deliverer:
    def __init__(
        self,
        store: JobStore,
        storage: Storage,
        outgoing: Outgoing,
        *,
        secrets: Sequence[bytes],
        show: Show,
        delay_factor: float = 1.0,
    ) -> None:
        """
        secrets        of the service, the newest first
        show           the job as its receiver sees it
        delay_factor   of all delays, for tests in which a day must not take one
        """
        self._store = store
        self._storage = storage
        self._outgoing = outgoing
        self._secrets = secrets
        self._show = show
        self._delay_factor = delay_factor
        self._away_until: dict[str, float] = {}  # by host, of the event loop's clock

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop, whatever goes wrong; for a thread of its own."""
        asyncio.run(self._run(stop))

    async def _run(self, stop: threading.Event) -> None:
        # As many as can be busy, so that no slow name server keeps anything else waiting.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(AT_ONCE_MAX + 2, "webhooks"))
        async with httpx.AsyncClient(
            verify=ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve names for itself
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            headers={"User-Agent": USER_AGENT, "Content-Type": "application/json"},
        ) as http:
            under_way: set[asyncio.Task[None]] = set()
            while not stop.is_set():
                for due in await self._take(AT_ONCE_MAX - len(under_way)):
                    task = asyncio.create_task(self._attended(http, due))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await asyncio.to_thread(stop.wait, LOOK_S)
            for task in under_way:  # another process sends these, or we when we are back
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _take(self, count: int) -> Sequence[DueHook]:
        if count < 1:
            return ()
        try:
            return await asyncio.to_thread(self._store.take_hooks, count, LEASE_S)
        except TransientError as error:
            log.warning("webhooks_not_taken", extra={"reason": str(error)})
        except Exception:  # the top of a thread's loop, which has to outlive its mistakes
            log.exception("webhooks_not_taken")
        return ()

    async def _attended(self, http: httpx.AsyncClient, due: DueHook) -> None:
        """What goes wrong with one stays with it: it comes out again when its lease is over."""
        try:
            await self.deliver(http, due)
        except TransientError as error:
            log.warning("webhook_interrupted", extra={"job": due.job_id, "reason": str(error)})
        except Exception:  # the top of a task: one bad job must not take the others with it
            log.exception("webhook_failed", extra={"job": due.job_id})

    async def deliver(self, http: httpx.AsyncClient, due: DueHook) -> None:
        """Tell what is due of one job, and note what came of it and when to go on."""
        try:
            job = await asyncio.to_thread(self._store.get, due.job_id)
        except UnknownJob:
            return
        told = expected(job, await asyncio.to_thread(deliveries.load, self._storage, job.id))
        now = await asyncio.to_thread(self._store.now)
        has_tried = False
        for place, delivery in enumerate(told):
            if delivery.state == "pending" and (delivery.next_at or 0) <= now and not self._is_away(job):
                told[place] = await self._attempt(http, job, delivery, now)
                has_tried = True
        if has_tried:
            await asyncio.to_thread(deliveries.save, self._storage, job.id, Log(deliveries=tuple(told)))
        pending = [delivery.next_at or now for delivery in told if delivery.state == "pending"]
        earliest = now if has_tried else now + AWAY_S * self._delay_factor
        next_at = max(earliest, min(pending)) if pending else None
        if not await asyncio.to_thread(self._store.settle_hook, due, next_at):
            await asyncio.to_thread(self._clear_deleted, job.id)

    async def _attempt(self, http: httpx.AsyncClient, job: Job, delivery: Delivery, now: float) -> Delivery:
        attempt = await self._send(http, job, delivery, now)
        wait_s = delay_s(delivery) * self._delay_factor * random.uniform(1, LATEST)  # noqa: S311 - no secret
        after = delivery.after(attempt, delay_s=wait_s)
        outcome = "failed" if after.state == "pending" else after.state
        metrics.WEBHOOKS.labels(outcome).inc()
        said = attempt.error or f"HTTP {attempt.status}"
        log.info(
            "webhook_tried",
            extra={"job": job.id, "message_id": delivery.id, "outcome": outcome, "answer": said},
        )
        return after

    async def _send(self, http: httpx.AsyncClient, job: Job, delivery: Delivery, now: float) -> Attempt:
        assert job.handling.webhook is not None
        body = self._body(job, delivery)
        secrets = secrets_of(self._secrets, job.owner)
        headers = signed(secrets, message_id=delivery.id, at_s=int(now), body=body)
        host = _host(job)
        try:
            async with asyncio.timeout(ATTEMPT_S_MAX):
                destination = await asyncio.to_thread(self._outgoing.resolve, job.handling.webhook)
                status = await _post(http, destination, headers, body)
        except (AddressRefused, AddressUnknown, NamesUnavailable) as error:
            return Attempt(at=now, error=str(error))
        except TimeoutError:
            self._note_away(host)
            return Attempt(at=now, error=f"no answer within {ATTEMPT_S_MAX:.0f} seconds")
        except httpx.HTTPError as error:
            self._note_away(host)
            return Attempt(at=now, error=f"{type(error).__name__}: {error}".removesuffix(": ")[:200])
        self._away_until.pop(host, None)
        return Attempt(at=now, status=status, is_final=status == GONE)

    def _body(self, job: Job, delivery: Delivery) -> bytes:
        happened = datetime.fromtimestamp(delivery.since, UTC).isoformat()
        message = {"type": delivery.event, "timestamp": happened, "data": self._show(job)}
        return json.dumps(message, separators=(",", ":")).encode()

    def _is_away(self, job: Job) -> bool:
        """Whether its receiver just did not answer another's: then ours would only wait in vain."""
        return self._away_until.get(_host(job), 0.0) > asyncio.get_running_loop().time()

    def _note_away(self, host: str) -> None:
        now = asyncio.get_running_loop().time()
        self._away_until = {name: until for name, until in self._away_until.items() if until > now}
        self._away_until[host] = now + AWAY_S * self._delay_factor

    def _clear_deleted(self, job_id: str) -> None:
        """Of a job that was deleted meanwhile no trace is left."""
        try:
            self._store.get(job_id)
        except UnknownJob:
            self._storage.delete(keys.webhooks_key(job_id))


async def _post(
    http: httpx.AsyncClient, destination: Destination, headers: dict[str, str], body: bytes
) -> int:
    """The status of the answer."""
    *others, last = destination.addresses
    for address in others:
        with suppress(httpx.ConnectError):
            return await _post_to(address, http, destination, headers, body)
    return await _post_to(last, http, destination, headers, body)


async def _post_to(
    address: str, http: httpx.AsyncClient, destination: Destination, headers: dict[str, str], body: bytes
) -> int:
    request = http.build_request(
        "POST",
        destination.by(address),
        content=body,
        headers={**headers, "Host": destination.authority},
        timeout=ATTEMPT_S_MAX,
        extensions={"sni_hostname": destination.host},  # what the certificate must be of
    )
    answer = await http.send(request, stream=True)
    await answer.aclose()  # what else it says is of no use to us, and may be endless
    return answer.status_code


def _host(job: Job) -> str:
    return urlsplit(job.handling.webhook or "").netloc
