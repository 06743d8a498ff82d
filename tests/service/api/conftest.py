"""The API over real parts: the job store in memory, storage in a folder, and ASGI or a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.memory.store import MemoryStore
from service.objects.files import FileStorage
from service.settings import Settings
from tests.service.api.harness import LIMIT_BYTES, Service, running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        upload_bytes_max=LIMIT_BYTES,
        pixels_max=1_000_000,
        queue_max=5,
        default_video_model="bicubic",
        default_image_model="bicubic",
    )


@pytest.fixture
def service(settings: Settings) -> Service:
    """Nothing is published in it, and `bicubic`, which needs no publishing, is all that it waits for."""
    store = MemoryStore(lease_s=settings.lease_s, attempts_max=settings.attempts_max)
    store.mark_complete(store.epoch())
    return Service(settings, store, FileStorage(settings.objects_dir))


@pytest.fixture
def server(service: Service) -> Iterator[str]:
    """The address of the same service behind a real uvicorn: for whatever needs a socket."""
    with running(service.app) as address:
        yield address
