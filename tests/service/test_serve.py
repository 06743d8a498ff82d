"""serve: refuses what can't work in one line; starts everything, stops everything, leaves nothing behind."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from service import serve as module
from service.serve import CannotServe, serve
from service.settings import Settings
from tests.service.api.samples import png

STOP_S = 60.0
SERVE = [sys.executable, "-m", "service.command", "serve"]


@contextmanager
def held(folder: Path, pid: int) -> Iterator[None]:
    """The lock of a data folder, as another serve holds it."""
    with (folder / "serve.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(str(pid))
        file.flush()
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_port_that_is_taken_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=f"port {port} is taken"):
            serve(Settings(data_dir=tmp_path, port=port))


def test_a_folder_in_use_by_another_serve_is_refused_and_says_by_whom(tmp_path: Path) -> None:
    with held(tmp_path, os.getpid()), pytest.raises(CannotServe, match=f"in use by .* process {os.getpid()}"):
        serve(Settings(data_dir=tmp_path, port=free_port()))


def test_the_folder_of_a_serve_that_was_killed_is_waited_for(tmp_path: Path) -> None:
    """Its children hold the lock until they have stopped."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    release = threading.Event()

    def hold() -> None:
        with held(tmp_path, ended.pid):
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    while not (tmp_path / "serve.lock").exists() or not (tmp_path / "serve.lock").read_text():
        time.sleep(0.01)
    threading.Timer(0.3, release.set).start()
    with module._sole_use_of(tmp_path, lambda: None):
        assert release.is_set()
        assert (tmp_path / "serve.lock").read_text() == str(os.getpid())
    holder.join()


def test_two_services_that_start_at_once_never_share_a_metrics_port(tmp_path: Path) -> None:
    """Guards against the second taking the first one's worker for its own, as both saw the port free."""
    first, second = (module._Serve(Settings(data_dir=tmp_path)) for _ in range(2))
    try:
        ports = [first._metrics_port(), second._metrics_port()]
        assert ports[0] != ports[1]
        for port in ports:  # and yet the worker itself can listen there
            ThreadingHTTPServer(("", port), BaseHTTPRequestHandler).server_close()
    finally:
        for reservation in first._reservations + second._reservations:
            reservation.close()


def test_a_metrics_port_that_was_asked_for_is_that_or_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(data_dir=tmp_path, metrics_port=port)
        with pytest.raises(CannotServe, match=f"port {port}, for the worker's metrics, is taken"):
            module._Serve(settings)._metrics_port()
    assert module._Serve(settings)._metrics_port() == port


# The whole, as a person runs it


class Serving:
    """`upscaled serve` in a folder, in a group of its own as under a terminal."""

    def __init__(self, folder: Path, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._log_path = log
        self._log = log.open("w")
        self.process = subprocess.Popen(
            [*SERVE, "--data", str(folder)],
            env=os.environ | {"PORT": str(port)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def await_ready(self) -> None:
        deadline = time.monotonic() + 90
        while not re.search(f"ready at {self.url}", self.log()):
            assert time.monotonic() < deadline, self.log()
            assert self.process.poll() is None, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return self._log_path.read_text()

    def processes(self) -> list[str]:
        """The commands of everything that has a file of the data folder open; its lock, to begin with."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdecimal():
                with suppress(OSError):  # it ended while we looked
                    opened = [str(file.readlink()) for file in (process / "fd").iterdir()]
                    if any(name.startswith(f"{self._folder.resolve()}/") for name in opened):
                        found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def await_gone(self) -> None:
        deadline = time.monotonic() + STOP_S
        while found := self.processes():
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(STOP_S)
        self.await_gone()
        self._log.close()


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(300)
def test_serve_keeps_its_jobs_and_leaves_no_process_however_it_ends(tmp_path: Path) -> None:
    folder, port = tmp_path / "my data", free_port()  # with a space, as in a person's folders
    first = Serving(folder, port, tmp_path / "first.log")
    try:
        first.await_ready()
        assert len(first.processes()) == 4, first.processes()  # serve, Valkey, worker, API
        posted = httpx.post(f"{first.url}/upscale", files={"file": ("a.png", png())})
        assert posted.status_code == 202
        again = subprocess.run(
            [
                *SERVE,
                "--data",
                str(folder),
                "--port",
                str(free_port()),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert again.returncode == 1
        assert f"in use by another `upscaled serve`, process {first.process.pid}" in again.stderr
        first.process.kill()
        first.process.wait()
        first.await_gone()
    finally:
        first.close()

    second = Serving(folder, port, tmp_path / "second.log")
    try:
        second.await_ready()
        deadline = time.monotonic() + 60
        while True:
            job = httpx.get(f"{second.url}{posted.headers['location']}").json()
            if job["state"] in {"succeeded", "failed"}:
                break
            assert time.monotonic() < deadline, second.log()
            time.sleep(0.2)
        assert job["state"] == "succeeded", job
        os.killpg(second.process.pid, signal.SIGINT)  # Ctrl-C: the terminal signals the whole group
        assert second.process.wait(STOP_S) == 0
        assert second.processes() == []
        valkey_log = (folder / "valkey" / "valkey.log").read_text()
        assert "ready to exit, bye bye" in valkey_log.splitlines()[-1]  # it was asked, not killed
    finally:
        second.close()
