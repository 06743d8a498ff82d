"""Whole jobs over a real Valkey whose k-th reply gets lost after it did what was asked, for every k.

No sweeper runs here, so a step that is left by mistake stays left, and the job would not end.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
import torch
from PIL import Image

from service.jobs import manifest
from service.jobs.model import Options
from service.jobs.redis.store import RedisStore
from service.jobs.states import JobState
from service.objects.files import FileStorage
from service.settings import Settings
from tests.proxies import DroppingProxy, dropping
from tests.worker.job.test_runner import accept, run
from tests.worker.media.clips import make_clip
from worker.job import held as held_module
from worker.job.context import WorkerContext, open_context
from worker.offline.local import LocalQueue

pytestmark = pytest.mark.integration


@pytest.fixture
def proxy(valkey_url: str) -> Iterator[DroppingProxy]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    with dropping(valkey_url) as made:
        yield made


@pytest.fixture
def context(tmp_path: Path, proxy: DroppingProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerContext]:
    monkeypatch.setattr(held_module, "RENEW_S", 0.05)  # so that renewals are among what gets lost
    torch.set_num_threads(1)
    settings = Settings(data_dir=tmp_path, segment_frames_max=4, precision="float32", attempts_max=2)
    storage, queue = FileStorage(tmp_path / "objects"), LocalQueue()
    with (
        contextlib.closing(RedisStore.connect(proxy.url, lease_s=15, attempts_max=2)) as store,
        open_context("me", settings, tmp_path, store=store, storage=storage, queue=queue) as made,
    ):
        yield made


def every_k(context: WorkerContext, proxy: DroppingProxy, path: Path, steps: int, kept: int) -> None:
    options = Options(model="bicubic")
    run(context, accept(context, path, options))  # from here on the server knows the scripts
    count = k = 0
    while k <= count:  # the first time none is lost, and they are counted
        job_id = accept(context, path, options)
        proxy.drop(k)
        job = run(context, job_id)
        count = count or proxy.seen
        proxy.drop(0)
        assert job.state is JobState.SUCCEEDED, (k, job)
        assert job.report is not None
        assert job.report["attempts"] == steps, k
        assert manifest.load(context.storage, job_id).job.state is JobState.SUCCEEDED, k
        assert len(list(context.storage.list(f"jobs/{job_id}/"))) == kept, k  # no part and no state is left
        k += 1
    assert count > 10


def test_a_video_of_three_segments_ends_well_whichever_reply_is_lost(
    context: WorkerContext, proxy: DroppingProxy, tmp_path: Path
) -> None:
    every_k(context, proxy, make_clip(tmp_path / "clip.mp4", 12, width=32, height=16), steps=5, kept=6)


def test_a_picture_ends_well_whichever_reply_is_lost(
    context: WorkerContext, proxy: DroppingProxy, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "picture.png")
    every_k(context, proxy, tmp_path / "picture.png", steps=1, kept=6)
