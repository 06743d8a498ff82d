"""Stores and storages over the real servers of the tests, empty for each test."""

import contextlib
import io
import logging
import uuid
from collections.abc import Callable, Iterator

import pytest
import redis
from pydantic import SecretStr

from service.jobs.redis.store import RedisStore
from service.log import configure
from service.objects.s3 import S3Storage


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[redis.Redis]:
    """A client of an empty Valkey."""
    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def redis_store(valkey: redis.Redis) -> RedisStore:
    return RedisStore(valkey, lease_s=15.0, attempts_max=4)


@pytest.fixture(scope="session")
def s3_storage(s3_server) -> Iterator[S3Storage]:
    """Shared by all tests of a process; use keys of your own (`folder`)."""
    with contextlib.closing(connect(s3_server)) as storage:
        yield storage


@pytest.fixture(scope="session")
def public_s3_storage(s3_server) -> Iterator[S3Storage]:
    """The same objects, in reach of clients, who know the server by another name than we do."""
    public_url = s3_server.endpoint_url.replace("127.0.0.1", "localhost") + "/"
    with contextlib.closing(connect(s3_server, public_url=public_url)) as storage:
        yield storage


def connect(s3_server, **more: str) -> S3Storage:
    return S3Storage(
        bucket=s3_server.bucket,
        region="us-east-1",
        endpoint_url=s3_server.endpoint_url,
        access_key=SecretStr(s3_server.access_key),
        secret_key=SecretStr(s3_server.secret_key),
        **more,
    )


@pytest.fixture
def folder() -> str:
    """A prefix no other test writes under."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def lines() -> Iterator[Callable[[str], Callable[[], list[str]]]]:
    """Configures logging for the test and puts back what was there; gives the lines written so far."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # else ours would close them, and pytest needs its own again
    stream = io.StringIO()

    def start(log_format):
        configure(log_format, stream)
        return lambda: stream.getvalue().splitlines()

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
