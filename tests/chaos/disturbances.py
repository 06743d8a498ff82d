"""Disturbances: what is done to a service that works. One function each; TABLE says what each may cost.

A disturbance returns when it is over: what was cut is joined, what was full has room. What ended is started
again by the cast, or here where that is Valkey or S3. Not here: in which order they come (storm.py).
"""

import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from service.jobs.steps import ASSEMBLE, PLAN, segment_step
from tests.chaos.cast import LEASE_S, Cast, Player
from tests.chaos.checkpoints import Shelf
from tests.chaos.ledger import Ledger
from tests.chaos.senders import Senders
from tests.integration.running import START_S, eventually
from tests.proxies import Fault
from tests.servers import Valkey, Weed

DOWN_S_MAX: Final = 2.0  # of a server that ended
OUTLASTS_LEASE_S: Final = LEASE_S + 1.5
FAULT_S: Final = 3.0
CLOCK_S: Final = 20
FORGERIES: Final = 20
_MB: Final = 1 << 20


@dataclass(frozen=True)
class Scene:
    """All that a disturbance may touch."""

    cast: Cast
    shelf: Shelf
    senders: Senders
    ledger: Ledger
    rng: random.Random

    def worker(self) -> Player:
        return self.rng.choice(self.cast.workers)


@dataclass(frozen=True)
class Disturbance:
    act: Callable[[Scene], None]
    times: int = 1  # as often as it comes while each other comes once
    costs: bool = False  # an attempt of the steps that it meets: they fail, or their lease runs out
    forgets: bool = False  # the store loses what it was told, so progress may be told anew
    impossible: Callable[[Cast], str | None] = lambda _: None  # and why


def worker_killed(scene: Scene) -> None:
    scene.worker().end(signal.SIGKILL)


def api_killed(scene: Scene) -> None:
    scene.cast.api.end(signal.SIGKILL)


def valkey_killed(scene: Scene) -> None:
    _restart(scene, scene.cast.valkey)


def valkey_killed_without_its_file(scene: Scene) -> None:
    _restart(scene, scene.cast.valkey, lambda: shutil.rmtree(scene.cast.valkey.folder / "appendonlydir"))


def valkey_flushed(scene: Scene) -> None:
    with redis.Redis.from_url(scene.cast.valkey.url) as client:
        client.flushall()


def s3_killed(scene: Scene) -> None:
    _restart(scene, scene.cast.weed)


def deployed_anew(scene: Scene) -> None:
    for player in scene.cast.players:
        player.end(signal.SIGTERM)
        eventually(lambda player=player: player.is_ready, START_S, hint=player.process.log)


def worker_frozen(scene: Scene) -> None:
    """Past its lease, and then it goes on as if nothing had been."""
    worker = scene.worker()
    worker.process.send(signal.SIGSTOP)
    time.sleep(OUTLASTS_LEASE_S)
    worker.process.send(signal.SIGCONT)


def replies_dropped(scene: Scene) -> None:
    for player in scene.cast.players:
        player.valkey.drop(scene.rng.randint(1, 20))
    time.sleep(FAULT_S)


def worker_cut_off_from_valkey(scene: Scene) -> None:
    with scene.worker().valkey.silent():
        time.sleep(OUTLASTS_LEASE_S)


def worker_cut_off_from_s3(scene: Scene) -> None:
    with scene.worker().s3.silent():
        time.sleep(OUTLASTS_LEASE_S)


def messages_forged(scene: Scene) -> None:
    """For jobs that go on and for jobs that are over, and for steps that never were."""
    for promise in scene.rng.choices(scene.ledger.promises, k=FORGERIES):
        step = scene.rng.choice([PLAN, ASSEMBLE, *map(segment_step, range(6))])
        scene.cast.queue.enqueue(promise.job_id, step)


def s3_broken(scene: Scene) -> None:
    _fail_all(scene, Fault(500, "InternalError"))


def s3_busy(scene: Scene) -> None:
    _fail_all(scene, Fault(503, "SlowDown"))


def s3_slow(scene: Scene) -> None:
    _fail_all(scene, Fault(delay_s=1.0))


def s3_forbids(scene: Scene) -> None:
    _fail_all(
        scene, Fault(403, "AccessDenied", of=frozenset({scene.rng.choice(["GET", "PUT", "DELETE", "LIST"])}))
    )


def disk_filled(scene: Scene) -> None:
    """The first worker's, which lies in a place that only its process sees."""
    disk = scene.cast.disk
    assert disk is not None
    root_of_worker = Path("/proc", str(scene.cast.workers[0].process.pid), "root")
    filler = root_of_worker / disk.relative_to("/") / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:  # or it starts just now
        while file.write(bytes(_MB)):
            pass
    time.sleep(FAULT_S)
    filler.unlink(missing_ok=True)


def clock_jumped(scene: Scene) -> None:
    """The store's, by which leases go; it stays wrong until it jumps again."""
    assert scene.cast.clock is not None
    scene.cast.clock.jump(scene.rng.choice([-CLOCK_S, 0, CLOCK_S]))
    time.sleep(1)


def checkpoint_published(scene: Scene) -> None:
    scene.shelf.publish()


def bad_checkpoint_published(scene: Scene) -> None:
    scene.shelf.publish_bad()


def checkpoint_rolled_back(scene: Scene) -> None:
    scene.shelf.roll_back()


def poison_sent(scene: Scene) -> None:
    scene.senders.poison()


def _without_mount(cast: Cast) -> str | None:
    return "no small disk can be mounted here" if cast.disk is None else None


def _without_faketime(cast: Cast) -> str | None:
    return "there is no libfaketime here" if cast.clock is None else None


TABLE: Final[Mapping[str, Disturbance]] = {
    each.act.__name__.replace("_", " "): each
    for each in (
        Disturbance(worker_killed, times=4, costs=True),
        Disturbance(api_killed, times=2),
        Disturbance(valkey_killed, times=2, costs=True, forgets=True),
        Disturbance(valkey_killed_without_its_file, forgets=True),
        Disturbance(valkey_flushed, forgets=True),
        Disturbance(s3_killed, times=2, costs=True),
        Disturbance(deployed_anew),
        Disturbance(worker_frozen, costs=True),
        Disturbance(replies_dropped, times=2),
        Disturbance(worker_cut_off_from_valkey, costs=True),
        Disturbance(worker_cut_off_from_s3, costs=True),
        Disturbance(messages_forged),
        Disturbance(s3_broken, costs=True),
        Disturbance(s3_busy, costs=True),
        Disturbance(s3_slow),
        Disturbance(s3_forbids, costs=True),
        Disturbance(disk_filled, impossible=_without_mount),
        Disturbance(clock_jumped, costs=True, impossible=_without_faketime),
        Disturbance(checkpoint_published),
        Disturbance(bad_checkpoint_published),
        Disturbance(checkpoint_rolled_back),
        Disturbance(poison_sent),
    )
}


def _restart(scene: Scene, server: Valkey | Weed, meanwhile: Callable[[], object] = lambda: None) -> None:
    server.process.end(signal.SIGKILL)
    meanwhile()
    time.sleep(scene.rng.uniform(0, DOWN_S_MAX))
    server.process.start()
    assert server.ready(), server.process.log()


def _fail_all(scene: Scene, fault: Fault) -> None:
    with ExitStack() as stack:
        for player in scene.cast.players:
            stack.enter_context(player.s3.failing(fault))
        time.sleep(FAULT_S)
