"""A worker that is told to end hands back what it has, however large the frames are that it waits for."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from service.jobs.model import Options
from tests.worker.job.test_runner import accept, clip
from worker.engine.backends.base import Stepped, Turn
from worker.job import runner
from worker.job.context import WorkerContext
from worker.job.held import Held
from worker.job.steps import plan
from worker.job.streams import Streams

__all__ = ["clip"]

HANDED_BACK_S_MAX = 10.0  # of the 45 that a container is given; Done-when of the promise behind it


def within_s(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def planned(context: WorkerContext, path: Path) -> str:
    job_id = accept(context, path)
    lease = context.store.acquire(job_id, "plan", "planner")
    assert lease is not None
    plan.plan(context, Held(context.store, lease, draining=threading.Event()))
    return job_id


def test_what_waits_for_an_engine_in_a_long_tick_is_handed_back(
    context: WorkerContext, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight streams and a picture wait for a tick that ends much later."""
    Image.new("RGB", (32, 24)).save(tmp_path / "picture.png")
    jobs = [(planned(context, clip), "segment/0") for _ in range(8)]
    jobs.append((accept(context, tmp_path / "picture.png", Options(model="small")), "plan"))
    context = replace(context, streams=Streams(len(jobs) + 1))
    may_go_on = threading.Event()
    with context.models.acquire("small") as model, ThreadPoolExecutor(len(jobs)) as pool:
        step = model.engine.backend.step

        def long(turns: Sequence[Turn]) -> list[Stepped]:
            may_go_on.wait(60)
            return step(turns)

        monkeypatch.setattr(model.engine.backend, "step", long)
        try:
            for job_id, name in jobs:
                pool.submit(runner.run, context, job_id, name)
            assert within_s(30, lambda: model.engine.stream_count == len(jobs))
            context.draining.set()
            are_free = [within_s(HANDED_BACK_S_MAX, partial(is_free, context, *job)) for job in jobs]
        finally:
            may_go_on.set()
    assert all(are_free)
    for job_id, name in jobs:
        lease = context.store.acquire(job_id, name, "another worker")
        assert lease is not None
        assert lease.attempt == 1  # to be drained is not the job's fault


def is_free(context: WorkerContext, job_id: str, name: str) -> bool:
    return context.store.steps(job_id)[name].owner is None


def test_a_lost_device_costs_no_job_an_attempt_and_empties_the_worker(
    context: WorkerContext, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context of CUDA is gone: one job meets it, and all others of this process would."""
    Image.new("RGB", (32, 24)).save(tmp_path / "picture.png")
    jobs = [(planned(context, clip), "segment/0") for _ in range(2)]
    jobs.append((accept(context, tmp_path / "picture.png", Options(model="small")), "plan"))
    with context.models.acquire("small") as model:

        def lost(_: object) -> None:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        monkeypatch.setattr(model.engine.backend, "step", lost)
        monkeypatch.setattr(model.engine.backend, "answers", lambda: False)
        with ThreadPoolExecutor(len(jobs)) as pool:
            for job_id, name in jobs:
                pool.submit(runner.run, context, job_id, name)
    assert context.device_gone.is_set()
    assert context.draining.is_set()
    for job_id, name in jobs:
        lease = context.store.acquire(job_id, name, "another worker")
        assert lease is not None
        assert lease.attempt == 1
