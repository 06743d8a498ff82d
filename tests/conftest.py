"""Real servers for the tests: one Valkey and one S3 for each process of pytest, gone at its end."""

from collections.abc import Iterator

import pytest

from tests.servers import S3Server, s3_running, valkey_running


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Valkey as `make serve` runs it. Tests share it, so flush it first."""
    with valkey_running() as valkey:
        yield valkey.url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A SeaweedFS on free ports, in a folder of its own."""
    with s3_running() as weed:
        yield weed.server
