"""A whole service as a person runs it: `upscaled serve` in a folder of its own, spoken to over HTTP."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

START_S = 90.0
STOP_S = 60.0
JOB_S = 90.0


class Client:
    """Speaks to a service at `url` as its users do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=30)

    @property
    def log(self) -> str:
        return ""

    def post(self, path: Path, **options: object) -> str:
        """Upload a file; the id of its job."""
        with path.open("rb") as file:
            answer = self.http.post("/upscale", files={"file": (path.name, file)}, data=_text(options))
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def finished(self, job_id: str, *, within_s: float = JOB_S) -> dict[str, Any]:
        """The job once it has ended."""
        ended = ("succeeded", "failed", "cancelled")
        eventually(
            lambda: self.job(job_id)["state"] in ended,
            within_s,
            hint=lambda: f"{self.job(job_id)}\n{self.log[-4000:]}",
        )
        return self.job(job_id)

    def result(self, job_id: str, folder: Path) -> Path:
        """Fetch the result of a job that must succeed."""
        job = self.finished(job_id)
        assert job["state"] == "succeeded", f"{job['error']}\n{self.log}"
        answer = self.http.get(f"/jobs/{job_id}/result")
        assert answer.status_code == 200, answer.text
        name = re.search(r'filename="?([^";]+)', answer.headers["content-disposition"])
        assert name
        path = folder / f"{job_id}-{name[1]}"
        path.write_bytes(answer.content)
        return path


class Running(Client):
    """`with Running(folder) as service`; stopping leaves the data, so that another can go on with it."""

    def __init__(self, folder: Path, port: int, **settings: object) -> None:
        super().__init__(f"http://127.0.0.1:{port}")
        self.folder = folder
        self._port = port
        self._environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._environment |= {f"UPSCALED_{name.upper()}": str(value) for name, value in settings.items()}
        self._log: list[str] = []

    def __enter__(self) -> "Running":
        command = [sys.executable, "-m", "service.command", "serve", "--data", str(self.folder)]
        self._process = subprocess.Popen(
            [*command, "--port", str(self._port)],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        eventually(lambda: f"ready at {self.url}" in self.log or self._process.poll() is not None, START_S)
        assert self._process.poll() is None, self.log
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.interrupt()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def log(self) -> str:
        return "".join(self._log)

    @property
    def worker_metrics_url(self) -> str:
        found = re.search(r"(http://127\.0\.0\.1:\d+/metrics)\s+what the worker does", self.log)
        assert found, self.log
        return found[1]

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to the whole group, as a terminal sends it; waits for the end."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGINT)
        assert self._process.wait(STOP_S) == 0, self.log

    def kill_worker(self) -> None:
        """kill -9, as the kernel does when memory runs out."""
        os.kill(self.worker_pid(), signal.SIGKILL)

    @contextlib.contextmanager
    def worker_stopped(self) -> Iterator[None]:
        """SIGSTOP within the block: what is posted waits, and begins together afterwards."""
        worker = self.worker_pid()
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    def worker_pid(self) -> int:
        """Of the worker this serve started."""
        for child in _children_of(self._process.pid):
            arguments = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if arguments[1:3] == [b"-m", b"worker"]:
                return child
        raise AssertionError("no worker runs")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # closed while we read
            self._log.extend(self._process.stdout)


def eventually(condition: Any, within_s: float, *, hint: Any = lambda: "") -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {hint()}"
        time.sleep(0.05)


def _text(options: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in options.items()}


def _children_of(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())
