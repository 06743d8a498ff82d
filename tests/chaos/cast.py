"""Cast: the processes of a service on many machines, each behind proxies of its own to Valkey and to S3.

    sender -> API ─┬─ proxy ─> Valkey        Whoever ends is started again, as a supervisor would.
    worker 0, 1, 2 ┴─ proxy ─> SeaweedFS

The suite itself looks at Valkey and S3 directly. Not here: what is done to the players (disturbances.py).
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from service.jobs.redis.store import RedisStore
from service.objects.s3 import S3Storage
from service.queue import CeleryQueue, celery_app
from service.settings import Settings
from tests.chaos.machine import Clock, may_mount, mounting
from tests.integration.running import START_S, STOP_S, eventually
from tests.proxies import DroppingProxy, S3Proxy
from tests.servers import Process, S3Server, Valkey, Weed, free_ports, s3_running, valkey_running
from tests.service.conftest import connect

WORKERS: Final = 3
LEASE_S: Final = 3.0
ATTEMPTS_MAX: Final = 10  # so many kills of one step in a row are no accident
SEGMENT_FRAMES: Final = 8
RESTART_S: Final = 0.5
_FRAMES: Final = "upscaled_frames_total "
_SETTINGS: Final = {
    "STORAGE": "s3",
    "LEASE_S": str(LEASE_S),
    "REQUEUE_AFTER_S": "3",
    "ATTEMPTS_MAX": str(ATTEMPTS_MAX),
    "SEGMENT_FRAMES_MAX": str(SEGMENT_FRAMES),
    "MODELS_POLL_S": "1",
    "WORKER_STREAMS": "4",
    "BATCH_MAX": "1",  # a batch is promised to be one level off at most, and here every bit counts
    "PRECISION": "float32",
    "DEFAULT_VIDEO_MODEL": "bicubic",  # which every worker loads when it starts
    "DEFAULT_IMAGE_MODEL": "bicubic",
}


class Player:
    """The API or a worker. `end` it, and the cast starts it again."""

    def __init__(self, name: str, process: Process, url: str, valkey: DroppingProxy, s3: S3Proxy) -> None:
        self.name = name
        self.process = process
        self.valkey, self.s3 = valkey, s3
        self.url = url  # of a worker: of its metrics
        self._frames_before = self._frames = 0

    def end(self, number: int = signal.SIGKILL) -> None:
        self.look()
        self.process.end(number, within_s=STOP_S)

    def start_again(self) -> str | None:
        """Start it where it has ended; says how it ended if we had no hand in it."""
        if self.process.is_running:
            return None
        status = self.process.status
        self._frames_before, self._frames = self.frames, 0
        self.process.start()
        is_ours = status in {0, -signal.SIGKILL, -signal.SIGTERM}
        return None if is_ours else f"{self.name} ended with status {status}"

    @property
    def is_ready(self) -> bool:
        return bool(self._get("/readyz"))

    @property
    def frames(self) -> int:
        """Computed in all its lives, as of the last look."""
        return self._frames_before + self._frames

    def look(self) -> None:
        """Read how many frames it has computed, before that is lost."""
        for line in self._get("/metrics").splitlines():
            if line.startswith(_FRAMES):
                self._frames = round(float(line.removeprefix(_FRAMES)))

    def _get(self, path: str) -> str:
        try:
            return httpx.get(f"{self.url}{path}", timeout=1).raise_for_status().text
        except httpx.HTTPError:
            return ""


@dataclass(frozen=True, kw_only=True)
class Cast:
    api: Player
    workers: Sequence[Player]
    valkey: Valkey
    weed: Weed
    disk: Path | None  # of the first worker, as it sees it; None where we may not mount one
    clock: Clock | None  # of Valkey; None where there is no libfaketime
    store: RedisStore  # this and the two below: directly, past the proxies
    storage: S3Storage
    queue: CeleryQueue
    fell: list[str] = field(default_factory=list)  # who ended without our doing, and how

    @property
    def players(self) -> Sequence[Player]:
        return (self.api, *self.workers)

    @property
    def url(self) -> str:
        return self.api.url

    @property
    def frames(self) -> int:
        """Computed by all workers so far."""
        for worker in self.workers:
            worker.look()
        return sum(worker.frames for worker in self.workers)

    def keep(self, stop: threading.Event) -> None:
        """Start again whoever has ended, until told to stop; for a thread of its own."""
        while not stop.wait(RESTART_S):
            for player in self.players:
                if (how := player.start_again()) is not None:
                    self.fell.append(how)

    def await_ready(self) -> None:
        for player in self.players:
            eventually(lambda player=player: player.is_ready, START_S, hint=player.process.log)


@contextmanager
def on_stage(folder: Path) -> Iterator[Cast]:
    """All of them, ready, and started again when they end. Their logs lie in `folder`."""
    with ExitStack() as stack:
        clock = Clock.found(folder)
        valkey = stack.enter_context(valkey_running(clock.environment if clock else None))
        weed = stack.enter_context(s3_running())
        port, *metrics_ports = free_ports(1 + WORKERS)
        disk = folder / "disk" if may_mount(folder) else None

        def player(name: str, module: str, port_name: str, port: int, disk: Path | None = None) -> Player:
            redis_proxy, s3_proxy = DroppingProxy(valkey.url), S3Proxy(weed.server.endpoint_url)
            stack.callback(redis_proxy.close)
            stack.callback(s3_proxy.close)
            own = {
                "DATA_DIR": str(disk or folder / name),
                port_name: str(port),
                "REDIS_URL": redis_proxy.url,
                "S3_ENDPOINT_URL": s3_proxy.url,
            }
            process = Process(
                [*mounting(disk), sys.executable, "-m", module],
                folder / f"{name}.log",
                os.environ | _environment(weed.server, own),
            )
            process.start()
            stack.callback(process.end)
            return Player(name, process, f"http://127.0.0.1:{port}", redis_proxy, s3_proxy)

        workers = [
            player(f"worker{n}", "worker", "METRICS_PORT", number, None if n else disk)
            for n, number in enumerate(metrics_ports)
        ]
        api = player("api", "service.api", "PORT", port)
        cast = Cast(
            api=api,
            workers=workers,
            valkey=valkey,
            weed=weed,
            disk=disk,
            clock=clock,
            store=stack.enter_context(
                closing(RedisStore.connect(valkey.url, lease_s=LEASE_S, attempts_max=ATTEMPTS_MAX))
            ),
            storage=stack.enter_context(closing(connect(weed.server))),
            queue=CeleryQueue(celery_app(Settings(redis_url=valkey.url))),
        )
        cast.await_ready()
        stop = threading.Event()
        keeper = threading.Thread(target=cast.keep, args=(stop,), daemon=True)
        keeper.start()
        stack.callback(keeper.join)
        stack.callback(stop.set)
        yield cast


def _environment(server: S3Server, own: Mapping[str, str]) -> dict[str, str]:
    settings = {
        **_SETTINGS,
        "S3_BUCKET": server.bucket,
        "S3_ACCESS_KEY": server.access_key,
        "S3_SECRET_KEY": server.secret_key,
        **own,
    }
    # Several workers on few cores: threads that spin while they wait would take them from the others.
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    return {f"UPSCALED_{name}": value for name, value in settings.items()} | threads
