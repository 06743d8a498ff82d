"""The gauges of a worker say what it is doing now, and no more about what it has left."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from service.jobs.memory.store import MemoryStore
from service.objects.files import FileStorage
from service.settings import Settings
from worker.job.context import WorkerContext, open_context
from worker.offline.local import LocalQueue
from worker.process.health import Health
from worker.process.observe import observe, watch


@pytest.fixture
def context(tmp_path: Path) -> Iterator[WorkerContext]:
    settings = Settings(data_dir=tmp_path, precision="float32")
    store, storage = MemoryStore(lease_s=9, attempts_max=1), FileStorage(tmp_path / "objects")
    with open_context("me", settings, tmp_path, store=store, storage=storage, queue=LocalQueue()) as made:
        yield made


def test_streams_and_models_are_shown_while_they_are_there(context: WorkerContext) -> None:
    health = Health(context)
    with context.models.acquire("bicubic") as model:
        labels = {"model": "bicubic", "version": model.version, "precision": model.precision}
        with model.engine.open(8, 8):
            observe(context, health)
            assert REGISTRY.get_sample_value("upscaled_streams") == 1
            assert REGISTRY.get_sample_value("upscaled_streams_waiting") == 0
            assert REGISTRY.get_sample_value("upscaled_model_info", labels) == 1
    assert REGISTRY.get_sample_value("upscaled_ready") == 1
    assert 0 < (REGISTRY.get_sample_value("upscaled_disk_free_ratio") or 0) <= 1


def test_what_was_freed_is_no_longer_shown(context: WorkerContext) -> None:
    health = Health(context)
    context.models.close()
    observe(context, health)
    assert [
        sample
        for family in REGISTRY.collect()
        if family.name == "upscaled_model_info"
        for sample in family.samples
    ] == []


def test_a_worker_that_drains_says_so_at_once(context: WorkerContext) -> None:
    context.draining.set()
    watch(context, Health(context))
    assert REGISTRY.get_sample_value("upscaled_ready") == 0
