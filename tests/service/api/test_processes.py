"""`python -m service.api`, the one way to start the API: in one process or several, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from service.api.__main__ import STOP_S_MAX
from service.jobs.redis.store import RedisStore
from service.objects.files import FileStorage
from tests.proxies import dropping
from tests.servers import free_ports
from tests.service.api.samples import stored_job

START_S = 60.0


@contextmanager
def api(folder: Path, valkey_url: str, processes: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its address and its first process."""
    (port,) = free_ports(1)
    settings = {"PORT": port, "DATA_DIR": folder, "REDIS_URL": valkey_url, "API_PROCESSES": processes}
    environment = os.environ | {f"UPSCALED_{name}": str(value) for name, value in settings.items()}
    with subprocess.Popen([sys.executable, "-m", "service.api"], env=environment) as running:
        try:
            address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
            while time.monotonic() < deadline:
                with suppress(httpx.HTTPError):
                    httpx.get(f"{address}/healthz", timeout=1)
                    break
                time.sleep(0.1)
            yield address, running
        finally:
            running.terminate()
            running.wait(START_S)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_ends_streams_of_events_at_once_and_not_when_time_is_over(
    redis_store: RedisStore, valkey_url: str, tmp_path: Path, processes: int
) -> None:
    stored_job(redis_store, FileStorage(tmp_path / "objects"), "a")
    with api(tmp_path, valkey_url, processes) as (address, running):
        with httpx.stream("GET", f"{address}/jobs/a/events", timeout=10) as events:
            lines = events.iter_lines()
            assert next(lines).startswith("retry:")
            running.send_signal(signal.SIGTERM)
            stopped_at = time.monotonic()
            for _line in lines:  # to its end, which is an end as it should be
                pass
        running.wait(START_S)
        assert time.monotonic() - stopped_at < STOP_S_MAX - 1


@pytest.mark.usefixtures("valkey")
def test_who_is_not_answered_before_a_stop_is_told_to_come_back(valkey_url: str, tmp_path: Path) -> None:
    """By 500 no client would ask again, and an upload may have become a job by then."""
    with (
        dropping(valkey_url) as proxy,
        api(tmp_path, proxy.url, processes=1) as (address, running),
        ThreadPoolExecutor() as pool,
        proxy.silent(),
    ):
        asked = pool.submit(httpx.get, f"{address}/jobs", timeout=60)
        time.sleep(1)  # it waits for the store
        running.send_signal(signal.SIGTERM)
        answer = asked.result()
    assert answer.status_code == 503, answer.text
    assert answer.json()["type"] == "/problems/server_stopping"
    assert answer.headers["retry-after"] == "5"


@pytest.mark.usefixtures("valkey")
def test_any_process_answers_for_the_metrics_of_all(valkey_url: str, tmp_path: Path) -> None:
    with api(tmp_path, valkey_url, processes=2) as (address, _running):
        for _ in range(20):  # each on a connection of its own, so that both processes get some
            httpx.get(f"{address}/nowhere")
        counted = 'upscaled_requests_total{method="GET",route="none",status="404"} 20.0'
        assert all(counted in httpx.get(f"{address}/metrics").text for _ in range(6))
