"""A service without workers, a clip, and each client by turns."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.jobs.memory.store import MemoryStore
from service.objects.files import FileStorage
from service.objects.s3 import S3Storage
from service.settings import Settings
from tests.service.api.harness import Service
from tests.service.api.samples import CLIP
from tests.service.conftest import connect
from upscaled_client import AsyncClient, Client, exchanges, patience


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """`bicubic`, which needs no publishing, is all that it waits for."""
    settings = Settings(
        data_dir=tmp_path / "data", default_video_model="bicubic", default_image_model="bicubic"
    )
    store = MemoryStore(lease_s=15, attempts_max=4)
    store.mark_complete(store.epoch())
    return Service(settings, store, FileStorage(settings.objects_dir))


@pytest.fixture
def public_s3_storage(s3_server) -> Iterator[S3Storage]:
    """In reach of clients, who know the server by another name than we do."""
    public_url = s3_server.endpoint_url.replace("127.0.0.1", "localhost") + "/"
    with closing(connect(s3_server, public_url=public_url)) as storage:
        yield storage


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP)
    return path


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "LOOK_S_FIRST", 0.02)
    monkeypatch.setattr(exchanges, "LOOK_S_MAX", 0.05)
    monkeypatch.setattr(exchanges, "AGAIN_S", 0.02)
    monkeypatch.setattr(patience, "DELAY_S_FIRST", 0.02)


Call = Callable[..., Any]


@pytest.fixture(params=["Client", "AsyncClient"])
def call(request: pytest.FixtureRequest) -> Call:
    """`call(server, "submit", source, target)` by the one client and by the other."""

    def of_client(server: str, method: str, given: Any, how: dict[str, Any], named: Any) -> Any:
        with Client(server, **how) as client:
            made = getattr(client, method)(*given, **named)
            return list(made) if method == "events" else made

    async def of_async_client(server: str, method: str, given: Any, how: dict[str, Any], named: Any) -> Any:
        async with AsyncClient(server, **how) as client:
            made = getattr(client, method)(*given, **named)
            return [job async for job in made] if method == "events" else await made

    def call(server: str, method: str, *given: Any, how: dict[str, Any] | None = None, **named: Any) -> Any:
        if request.param == "Client":
            return of_client(server, method, given, how or {}, named)
        return asyncio.run(of_async_client(server, method, given, how or {}, named))

    return call
