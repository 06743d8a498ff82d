"""One running service for the tests that don't hurt it, and a small recurrent model to run in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model_core.checkpoint import save
from model_core.config import ModelConfig
from model_core.model import build
from service.objects.files import FileStorage
from service.objects.published import publish
from tests.integration.running import Running
from tests.servers import free_ports

MODEL = "small"


def make_small_model(folder: Path, *, seed: int = 1) -> str:
    """Write a tiny recurrent network as a checkpoint; its version.

    Random weights, small enough that the output stays near bicubic and depends on what came before.
    """
    torch.manual_seed(seed)
    model = build(ModelConfig(generator="frvsr", flow="dis", features=16, blocks=3))
    return save(folder, model, {"name": MODEL, "summary": "Random weights, for tests."})


def publish_small_model(data: Path, *, seed: int = 1) -> str:
    """Put one into a service's data folder, as training would; its version."""
    folder = data / "made" / str(seed)
    version = make_small_model(folder, seed=seed)
    publish(FileStorage(data / "objects"), MODEL, version, folder)
    return version


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("service")
    publish_small_model(data)
    # What is fetched from an address lies on this machine.
    with Running(data, free_ports(1)[0], outgoing_allowed="127.0.0.0/8") as running:
        yield running


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Running]:
    """For tests that kill parts of it: a service of its own, with segments so short that chains are many."""
    publish_small_model(tmp_path / "data")
    settings = {"segment_frames_max": 20, "lease_s": 3}
    with Running(tmp_path / "data", free_ports(1)[0], **settings) as running:
        yield running
