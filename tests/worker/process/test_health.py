"""When a worker calls itself stuck, and what it answers on its metrics port."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from service.errors import StoreUnavailable
from service.jobs.memory import MemoryStore
from service.objects.files import FileStorage
from service.settings import Settings
from tests.conftest import free_ports
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


def test_an_engine_that_does_not_tick_is_stuck_only_while_it_has_streams(context: WorkerContext) -> None:
    engine = SimpleNamespace(stream_count=1, last_progress=time.monotonic() - health_module.HUNG_S - 1)
    models = SimpleNamespace(engines=lambda: [engine])
    health = Health(replace(context, models=cast(Any, models)))
    assert "has not ticked" in str(health.trouble())
    engine.stream_count = 0
    assert health.trouble() is None


def test_a_draining_worker_is_alive_and_not_ready(context: WorkerContext) -> None:
    port = free_ports(1)[0]
    with serve(port, Health(context)), httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
        assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/nothing")] == [200, 200, 404]
        context.draining.set()
        assert http.get("/healthz").status_code == 200
        assert (http.get("/readyz").status_code, http.get("/readyz").text) == (503, "draining\n")


def test_metrics_are_shown_as_prometheus_reads_them(context: WorkerContext) -> None:
    port = free_ports(1)[0]
    with serve(port, Health(context)):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE upscaled_batch_size histogram" in answer.text


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
