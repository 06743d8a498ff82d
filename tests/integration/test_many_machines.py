"""One API and two workers that share nothing but Valkey and S3, as they would on three machines."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.integration.running import START_S, STOP_S, Client, eventually
from tests.integration.test_main_job import frames_of
from tests.servers import S3Server, free_ports
from tests.worker.media.clips import Sound, make_clip, numbered
from worker.media.checking.verify import verify

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SHOT, SHOTS = 30, 4


@contextmanager
def process(module: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", module], env=environment) as running:
        try:
            yield running
        finally:
            running.terminate()
            running.wait(STOP_S)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_job_spread_over_two_workers_survives_the_loss_of_one(
    valkey_url: str, s3_server: S3Server, tmp_path: Path
) -> None:
    scenes = [frame for seed in range(SHOTS) for frame in numbered(SHOT, seed=seed, first=seed * SHOT)]
    clip = make_clip(tmp_path / "clip.mp4", scenes, sound=[Sound()])
    settings = {
        "REDIS_URL": valkey_url,
        "STORAGE": "s3",
        "S3_ENDPOINT_URL": s3_server.endpoint_url,
        "S3_BUCKET": s3_server.bucket,
        "S3_ACCESS_KEY": s3_server.access_key,
        "S3_SECRET_KEY": s3_server.secret_key,
        "LEASE_S": "3",
        "WORKER_STREAMS": "1",
        "SEGMENT_FRAMES_MAX": "10",
    }
    with ExitStack() as stack:
        port, *metrics_ports = free_ports(3)
        workers = []
        for number, metrics_port in enumerate(metrics_ports):
            own = {"DATA_DIR": str(tmp_path / f"worker{number}"), "METRICS_PORT": str(metrics_port)}
            environment = os.environ | {f"UPSCALED_{k}": v for k, v in (settings | own).items()}
            workers.append(stack.enter_context(process("worker", environment | {"OMP_NUM_THREADS": "1"})))
        api = settings | {"DATA_DIR": str(tmp_path / "api"), "PORT": str(port)}
        stack.enter_context(process("service.api", os.environ | {f"UPSCALED_{k}": v for k, v in api.items()}))
        service = Client(f"http://127.0.0.1:{port}")
        stack.callback(service.http.close)
        for url in (service.url, *(f"http://127.0.0.1:{number}" for number in metrics_ports)):
            eventually(lambda url=url: is_ready(url), START_S)

        alone = service.result(service.post(clip, codec="ffv1", format="mkv", model="bicubic"), tmp_path)
        job_id = service.post(clip, codec="ffv1", format="mkv", model="bicubic")
        eventually(lambda: service.job(job_id)["progress"]["frames_done"] >= SHOT, 60)
        workers[0].send_signal(signal.SIGKILL)
        result = service.result(job_id, tmp_path)
    assert verify(clip, result, scale=4)["problems"] == []
    assert np.array_equal(frames_of(result), frames_of(alone))
