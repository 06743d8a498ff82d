"""Senders: clients that post, wait and fetch as long as the storm lasts, by the client that others install.

Each upload has an Idempotency-Key, so that a client may send it again when it never heard the answer.
"""

import queue
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.chaos.ledger import Ledger, Promise
from tests.chaos.material import Material, chosen, digest_of
from upscaled_client import Client, UpscaledError
from upscaled_client.records import Job

COUNT: Final = 5


class Senders:
    """Threads; what each sends follows from the seed and from how far it gets."""

    def __init__(
        self, url: str, ledger: Ledger, material: Sequence[Material], folder: Path, seed: int
    ) -> None:
        self._ledger, self._material, self._folder = ledger, material, folder
        self._poison: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stop = threading.Event()
        folder.mkdir()
        self._clients = [Client(url) for _ in range(COUNT)]
        self._threads = [
            threading.Thread(target=self._send, args=(seed, number), daemon=True) for number in range(COUNT)
        ]

    def start(self) -> None:
        for client, thread in zip(self._clients, self._threads, strict=True):
            client.models()  # who never had an answer has little patience: the address may be wrong
            thread.start()

    def poison(self) -> None:
        """What is sent next is poison."""
        self._poison.put(None)

    def finish(self, within_s: float) -> bool:
        """Send nothing more; whether all that was sent came to its end."""
        self._stop.set()
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _send(self, seed: int, number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        with self._clients[number] as client:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                try:
                    send(client, self._ledger, self._next(rng), self._folder, key=f"{seed}-{number}-{turn}")
                except UpscaledError as error:
                    self._ledger.troubles.append(f"sender {number}: {error!r}")

    def _next(self, rng: random.Random) -> Material:
        good = chosen(self._material, rng)
        try:
            self._poison.get_nowait()
        except queue.Empty:
            return good
        return next(each for each in self._material if each.is_poison)


def send(client: Client, ledger: Ledger, material: Material, folder: Path, *, key: str) -> Promise:
    """One job from its upload to its result, noted in the ledger."""
    promise = ledger.promised(client.upload(material.path, material.options, key=key).id, material)
    try:
        _follow(client, promise, folder)
    except UpscaledError as error:
        promise.trouble = f"{promise.job_id}: {error!r}"
    return promise


def _follow(client: Client, promise: Promise, folder: Path) -> None:
    def see(job: Job) -> None:
        promise.see(job.state, job.progress.frames_done)

    job = client.wait(promise.job_id, see)
    promise.state, promise.version, promise.report = job.state, job.version, job.report or {}
    promise.error = job.error.code if job.error else None
    if job.links.result is not None:
        result = folder / job.id
        client.download(job, result)
        promise.digest = digest_of(result, is_picture=job.kind == "image")
        result.unlink()
    promise.ended_at = time.monotonic()
