"""A worker without a process: in-memory store, a folder as storage, a small recurrent network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model_core.checkpoint import save
from model_core.config import ModelConfig
from model_core.model import build
from service.jobs.memory.store import MemoryStore
from service.objects import published
from service.objects.files import FileStorage
from service.settings import Settings
from worker.job import held as held_module
from worker.job.context import WorkerContext, open_context
from worker.offline.local import LocalQueue

SEGMENT = 8  # frames


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerContext]:
    monkeypatch.setattr(held_module, "RENEW_S", 0.01)
    torch.set_num_threads(1)
    storage = FileStorage(tmp_path / "objects")
    torch.manual_seed(1)
    network = ModelConfig(generator="frvsr", flow="dis-fast", features=8, blocks=2, window=3, hidden=4)
    model = build(network)
    version = save(tmp_path / "model", model, {})
    published.publish(storage, "small", version, tmp_path / "model")
    settings = Settings(data_dir=tmp_path, segment_frames_max=SEGMENT, precision="float32", attempts_max=2)
    store = MemoryStore(lease_s=15, attempts_max=settings.attempts_max)
    with open_context("me", settings, tmp_path, store=store, storage=storage, queue=LocalQueue()) as made:
        yield made
