"""Serve: the whole service on one machine by one command, with all its data in one folder.

    Valkey (queue and job store) <- worker (one process, one device) <- API (uvicorn)

Each is a child process (supervise.py). They start from Valkey on, are started again when they die, and stop
the other way round on Ctrl-C or SIGTERM: no new uploads, then the worker gives its work back, then Valkey
writes its file and ends. Not for many machines: there each part is started by itself.
"""

import fcntl
import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from service.settings import ENVIRONMENT_PREFIX, Settings
from service.supervise import Child
from service.valkey import command as valkey_command
from service.valkey import set_password

READY_S_MAX = 120.0  # a worker that times its number formats on a busy machine takes a while
VALKEY_READY_S_MAX = 60.0
START_TRIES_MAX = 3
HANDOVER_S_MAX = 60.0  # how long the children of a serve that was killed may take to stop
API_STOP_S_MAX = 10.0
WORKER_STOP_S_MAX = 30.0  # one frame and one upload of a part
VALKEY_STOP_S_MAX = 15.0
_LOOK_S = 0.1


class CannotServe(Exception):
    """Why not, in one line for the person at the terminal."""


class _Stopped(Exception):
    """Ctrl-C or SIGTERM came while something was being waited for."""


def serve(settings: Settings) -> int:
    """Run until Ctrl-C or SIGTERM; 0 after a clean stop. Raises CannotServe."""
    return _Serve(settings).run()


class _Serve:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signals = 0  # a second one stops at once
        self._children: list[Child] = []  # in the order in which they stop
        self._reservations: list[socket.socket] = []

    def run(self) -> int:
        _refuse_taken_port(self._settings.host, self._settings.port)
        folder = self._settings.data_dir.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup keeps us beyond the terminal
            signal.signal(signal.SIGHUP, self._on_signal)
        with _sole_use_of(folder, self._check_signal) as lock:
            try:
                metrics_port = self._start(folder, lock)
                print(_what_to_try(self._settings, folder, metrics_port), flush=True)
                while True:
                    self._tend()
                    self._pause()
            except _Stopped:
                return 0
            finally:
                self._stop()

    def _start(self, folder: Path, lock: int) -> int:
        """Bottom up; the worker's metrics port."""
        valkey_port = self._reserve("127.0.0.1", 0)
        valkey_folder = folder / self._settings.valkey_dir.name
        valkey_folder.mkdir(exist_ok=True)
        password = set_password(valkey_folder)
        metrics_port = self._metrics_port()
        overrides = {
            "DATA_DIR": str(folder),
            "REDIS_URL": f"redis://:{password}@127.0.0.1:{valkey_port}/0",
            "HOST": self._settings.host,
            "PORT": str(self._settings.port),
            "METRICS_PORT": str(metrics_port),
        }
        environment = os.environ | {ENVIRONMENT_PREFIX + name: value for name, value in overrides.items()}

        def child(name: str, command: Sequence[str], stop_s_max: float) -> Child:
            # Each child holds the lock too: a folder is in use until the last of them is gone.
            made = Child(name, command, environment, stop_s_max=stop_s_max, keep_open=[lock])
            self._children.insert(0, made)
            made.start()
            return made

        print(f"upscaled: starting, data in {folder}", flush=True)
        valkey = child("valkey", valkey_command(valkey_port, valkey_folder), VALKEY_STOP_S_MAX)
        self._await(valkey, VALKEY_READY_S_MAX, lambda: _answers_ping(valkey_port, password))
        worker = child("worker", [sys.executable, "-m", "worker"], WORKER_STOP_S_MAX)
        api = child("api", [sys.executable, "-m", "service.api"], API_STOP_S_MAX)
        self._await(api, READY_S_MAX, lambda: _is_ready(self._settings.host, self._settings.port))
        self._await(worker, READY_S_MAX, lambda: _is_ready(self._settings.metrics_host, metrics_port))
        return metrics_port

    def _metrics_port(self) -> int:
        """The one that was asked for. Nobody depends on the default: where it is taken, another will do."""
        port = self._settings.metrics_port
        if "metrics_port" in self._settings.model_fields_set:
            if not _is_free(self._settings.metrics_host, port):
                raise CannotServe(f"port {port}, for the worker's metrics, is taken")
            return port
        try:
            return self._reserve(self._settings.metrics_host, port)
        except OSError:
            return self._reserve(self._settings.metrics_host, 0)

    def _reserve(self, host: str, port: int) -> int:
        """Take a port (0: any) for a child that will listen on it; OSError where it is taken.

        To see that it is free would not do: seconds pass until the child listens, and when it died again, and
        of two services that start at once the second would take the first one's worker for its own.
        """
        reservation = socket.socket()
        try:
            reservation.bind((host, port))
        except OSError:
            reservation.close()
            raise
        taken: int = reservation.getsockname()[1]
        if sys.platform == "linux":
            # Set after binding: nobody else can bind, but Linux lets a child share what does not listen.
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reservations.append(reservation)
        else:
            reservation.close()
        return taken

    def _tend(self) -> None:
        for child in self._children:
            status = child.tend()
            if status is not None:
                print(f"upscaled: the {child.name} ended with status {status}", file=sys.stderr, flush=True)

    def _await(self, child: Child, s_max: float, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + s_max
        while not is_ready():
            if time.monotonic() > deadline:
                raise CannotServe(f"the {child.name} was not ready within {s_max:.0f} seconds")
            if child.deaths >= START_TRIES_MAX:
                raise CannotServe(f"the {child.name} does not start; the lines above say why")
            self._tend()
            self._pause()

    def _stop(self) -> None:
        if self._children:
            print(
                "upscaled: stopping; finished segments are kept, the rest goes on at the next start",
                flush=True,
            )
        for child in self._children:
            child.stop(hurry=lambda: self._signals > 1)
        for reservation in self._reservations:
            reservation.close()

    def _pause(self) -> None:
        time.sleep(_LOOK_S)
        self._check_signal()

    def _check_signal(self) -> None:
        if self._signals:
            raise _Stopped

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1


@contextmanager
def _sole_use_of(folder: Path, check_signal: Callable[[], None]) -> Iterator[int]:
    """The lock on a data folder: two Valkeys on one append-only file would destroy it.

    The kernel drops it with the last process that holds it. When the serve before us was killed, its children
    are still stopping: that is worth a short wait, a serve that lives is not.
    """
    path = folder / "serve.lock"
    with path.open("a+") as file:
        deadline = time.monotonic() + HANDOVER_S_MAX
        while not _try_lock(file.fileno()):
            file.seek(0)
            holder = file.read().strip()
            if _lives(holder) or time.monotonic() > deadline:
                raise CannotServe(
                    f"{folder} is in use by another `upscaled serve`, process {holder or 'unknown'}"
                )
            check_signal()
            time.sleep(_LOOK_S)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _refuse_taken_port(host: str, port: int) -> None:
    if not _is_free(host, port):
        raise CannotServe(f"port {port} is taken; choose another: PORT={port + 1} make serve")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _answers_ping(port: int, password: str) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
        answers = connection.makefile("rb")
        return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
    return False


def _is_ready(host: str, port: int) -> bool:
    url = f"{_address(host, port)}/readyz"
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


def _address(host: str, port: int) -> str:
    """Where this machine reaches a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _what_to_try(settings: Settings, folder: Path, metrics_port: int) -> str:
    here, command = _address(settings.host, settings.port), _own_command()
    worker = _address(settings.metrics_host, metrics_port)
    return f"""
upscaled is ready at {here}

    curl -F file=@clip.mp4 {here}/upscale          post a video or a picture
    curl {here}/jobs                               see how far it is
    curl -OJ {here}/jobs/ID/result                 fetch the result
    {command} submit clip.mp4 -o large.mp4 --server {here}

    {here}/            the same in a browser
    {here}/docs        every request, with examples
    {worker}/metrics   what the worker does; the API's are at {here}/metrics

Data is in {folder}. Ctrl-C stops everything; unfinished jobs go on at the next start.
"""


def _own_command() -> str:
    """How the reader starts `upscaled` from where they are: it need not be on their PATH."""
    installed = Path(sys.executable).with_name("upscaled")
    if shutil.which("upscaled") or not installed.exists():
        return "upscaled"
    return os.path.relpath(installed)
