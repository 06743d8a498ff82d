"""When a worker calls itself stuck, and what it answers on its metrics port."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np
import pytest
import torch
from torch import nn

from service.errors import StoreUnavailable
from service.jobs.memory.store import MemoryStore
from service.objects.files import FileStorage
from service.settings import Settings
from tests.servers import free_ports
from tests.worker.engine.judge import make_picture_model
from worker.engine import engine as engine_module
from worker.engine import pace as pace_module
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine
from worker.engine.stream import Stream
from worker.job.context import WorkerContext, open_context
from worker.offline.local import LocalQueue
from worker.process import health as health_module
from worker.process.health import Health, serve


@pytest.fixture
def queue() -> LocalQueue:
    return LocalQueue()


@pytest.fixture
def context(tmp_path: Path, queue: LocalQueue) -> Iterator[WorkerContext]:
    settings = Settings(data_dir=tmp_path, worker_streams=1)
    store, storage = MemoryStore(lease_s=9, attempts_max=1), FileStorage(tmp_path / "objects")
    with open_context("me", settings, tmp_path, store=store, storage=storage, queue=queue) as made:
        yield made


@pytest.fixture
def _deaf_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "DEAF_S", 0.0)


def test_an_idle_worker_is_well(context: WorkerContext) -> None:
    health = Health(context)
    assert (health.trouble(), health.unready()) == (None, None)


@pytest.mark.usefixtures("_deaf_at_once")
def test_a_worker_that_hears_nothing_while_messages_wait_is_stuck(
    context: WorkerContext, queue: LocalQueue
) -> None:
    health = Health(context)
    assert health.trouble() is None
    queue.enqueue("job", "plan")
    time.sleep(0.01)
    assert "messages wait" in str(health.trouble())


@pytest.mark.usefixtures("_deaf_at_once")
def test_a_worker_with_all_hands_full_is_not_deaf(context: WorkerContext, queue: LocalQueue) -> None:
    health = Health(context)
    queue.enqueue("job", "plan")
    with health.working():
        time.sleep(0.01)
        assert health.trouble() is None


@pytest.mark.usefixtures("_deaf_at_once")
def test_hearing_nothing_from_a_broker_that_is_away_is_no_trouble_of_ours(context: WorkerContext) -> None:
    class Away(LocalQueue):
        def depth(self) -> int:
            raise StoreUnavailable("away")

    health = Health(replace(context, queue=Away()))
    time.sleep(0.01)
    assert health.trouble() is None


class Slow(nn.Module):
    """A network that takes a fifth of a second for each tile, or its time."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__()
        self.inner = make_picture_model("srresnet", blocks=1).generator
        self.called, self.may_go_on = threading.Event(), threading.Event()
        self.wait_s = 30 if hangs else 0.2

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        self.called.set()
        self.may_go_on.wait(self.wait_s)
        made: torch.Tensor = self.inner(frame)
        return made


def engine_of(network: Slow, device: "threading.Lock | None" = None) -> Engine:
    model = make_picture_model("srresnet", blocks=1)
    model.generator = network
    return Engine(TorchBackend(model, tile_pixels_max=32 * 32), device=device)


def health_of(context: WorkerContext, *engines: Engine) -> Health:
    models = SimpleNamespace(engines=lambda: engines)
    return Health(replace(context, models=cast(Any, models)))


def troubles(health: Health, stream: Stream) -> set[str | None]:
    """What is said while one frame runs."""
    stream.put(np.zeros((*stream.shape[:2], 3), np.uint8))
    stream.end()
    with ThreadPoolExecutor(1) as pool:
        output = pool.submit(stream.get)
        said = set()
        while not output.done():
            said.add(health.trouble())
            time.sleep(0.02)
        assert output.result() is not None
    return said - {None}


@pytest.fixture
def _hung_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "SILENT_S_MAX", 0.5)


@pytest.mark.usefixtures("_hung_soon")
def test_an_engine_that_does_not_tick_is_stuck_only_while_it_has_streams(context: WorkerContext) -> None:
    network = Slow(hangs=True)
    with engine_of(network) as engine:
        health = health_of(context, engine)
        with engine.open(32, 32) as stream:
            stream.put(np.zeros((32, 32, 3), np.uint8))
            assert network.called.wait(5)
            time.sleep(0.6)
            assert "was not heard of" in str(health.trouble())
        network.may_go_on.set()
        time.sleep(0.6)
        assert health.trouble() is None


@pytest.mark.usefixtures("_hung_soon")
def test_a_frame_that_takes_long_is_no_hang_while_its_tiles_are_told(context: WorkerContext) -> None:
    with engine_of(Slow()) as engine, engine.open(64, 96) as stream:
        assert troubles(health_of(context, engine), stream) == set()


@pytest.mark.usefixtures("_hung_soon")
def test_an_engine_that_waits_for_its_turn_at_the_device_is_no_hang(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "IDLE_WAIT_S", 0.01)
    device = threading.Lock()
    with engine_of(Slow(), device) as busy, engine_of(Slow(), device) as waiting, busy.open(64, 96) as first:
        first.put(np.zeros((64, 96, 3), np.uint8))
        with waiting.open(32, 32) as stream:
            assert troubles(health_of(context, busy, waiting), stream) == set()


def test_a_draining_worker_is_alive_and_not_ready(context: WorkerContext) -> None:
    port = free_ports(1)[0]
    with (
        serve(("127.0.0.1", port), Health(context)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/nothing")] == [200, 200, 404]
        context.draining.set()
        assert http.get("/healthz").status_code == 200
        assert (http.get("/readyz").status_code, http.get("/readyz").text) == (503, "draining\n")


def test_metrics_are_shown_as_prometheus_reads_them(context: WorkerContext) -> None:
    port = free_ports(1)[0]
    with serve(("127.0.0.1", port), Health(context)):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE upscaled_batch_size histogram" in answer.text


def test_metrics_are_for_the_address_alone_that_was_asked_for(context: WorkerContext) -> None:
    port = free_ports(1)[0]
    with serve(("127.0.0.1", port), Health(context)), pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{port}/metrics")


def test_a_stuck_process_ends_itself(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    status: list[int] = []

    def exit_process(code: int) -> None:
        status.append(code)
        context.draining.set()  # the real one never returns
        ended.set()

    monkeypatch.setattr(health_module, "LOOK_S", 0.01)
    monkeypatch.setattr(health_module.os, "_exit", exit_process)
    health = Health(context)
    monkeypatch.setattr(health, "trouble", lambda: "hung")
    threading.Thread(target=health.watch, daemon=True).start()
    assert ended.wait(5)
    assert status == [health_module.EXIT_STUCK]


def test_a_process_whose_device_is_gone_ends_once_its_work_is_given_back(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(health_module.os, "_exit", lambda _: ended.set())
    health = Health(context)
    watch = threading.Thread(target=health.watch, daemon=True)
    with health.working():
        watch.start()
        context.device_gone.set()
        context.draining.set()
        assert not ended.wait(0.3)
    assert ended.wait(5)
    watch.join(5)


def test_a_drained_process_is_left_to_end_by_itself(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(health_module.os, "_exit", lambda _: ended.set())
    context.draining.set()
    Health(context).watch()
    assert not ended.is_set()
