"""A large upload that is cut: by each client, onto each storage, while the API is killed and the line goes.

    python -m benchmarks.uploads [--gib 3] [--clients ours ...] [--storages files s3] [--aside FOLDER]

Random bytes go through a line. When a third is over the API is killed and started again, at two thirds every
connection ends. The upload then becomes a job, of which the digest in its record and that of what comes back
must be the file's. There is no worker. tus-js-client is taken from client/typescript (scripts/typescript
--install). The folder aside takes the file and twice as much as it for the storage.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from tusclient.client import TusClient

from benchmarks.api import serving, wait
from benchmarks.shared.machine import peak_mib
from benchmarks.shared.markdown import number, table
from tests.servers import s3_running, valkey_running
from upscaled_client import Client

ROOT: Final = Path(__file__).parents[1]
CLIENTS: Final = ("ours", "tuspy", "tus-js-client")
STORAGES: Final = ("files", "s3")
_HEAD: Final = (24).to_bytes(4) + b"ftypisom" + bytes(12)  # what tells an mp4
_BLOCK_BYTES: Final = 1 << 24
_DOWN_S: Final = 1.0
_RETRY_S: Final = 1
_RETRIES: Final = 120
_SEND_S_MAX: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Row:
    client: str
    storage: str
    seconds: float  # until the last byte was over, or with ours until there was a job
    sent_ratio: float  # of the file's size
    at_rest_mib: float  # of the API's process, at its most before and under the upload
    peak_mib: float
    is_right: bool


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gib", type=float, default=3.0)
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=CLIENTS)
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=STORAGES)
    parser.add_argument("--aside", type=Path, help="where there is room; by default the temporary folder")
    parsed = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory(prefix="upscaled-uploads-", dir=parsed.aside) as name:
        film = Path(name) / "film.mp4"
        digest = write_film(film, int(parsed.gib * 1024**3))
        for storage in parsed.storages:
            for client in parsed.clients:
                rows.append(measure(client, storage, film, digest, Path(name)))
                print(rows[-1], file=sys.stderr, flush=True)
    print("\n".join(shown(rows)))
    return 0 if all(row.is_right for row in rows) else 1


def shown(rows: Sequence[Row]) -> list[str]:
    head = (
        "client",
        "storage",
        "seconds",
        "sent / size",
        "API MiB, at rest",
        "API MiB, peak",
        "digests right",
    )
    cells = [
        (
            row.client,
            row.storage,
            number(row.seconds),
            number(row.sent_ratio, 4),
            number(row.at_rest_mib),
            number(row.peak_mib),
            "yes" if row.is_right else "NO",
        )
        for row in rows
    ]
    return table(head, cells)


def write_film(path: Path, size_bytes: int) -> str:
    """Bytes that nobody can compress or guess, behind the head of an mp4; their SHA-256."""
    digest, left = hashlib.sha256(_HEAD), size_bytes - len(_HEAD)
    with path.open("wb") as file:
        file.write(_HEAD)
        while left:
            block = os.urandom(min(left, _BLOCK_BYTES))
            file.write(block)
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def measure(client: str, storage: str, film: Path, digest: str, aside: Path) -> Row:
    size_bytes = film.stat().st_size
    with (
        tempfile.TemporaryDirectory(dir=aside) as name,
        valkey_running() as valkey,
        _settings_of(storage) as settings,
        serving(
            Path(name), {"REDIS_URL": valkey.url, "UPLOAD_BYTES_MAX": str(2 * size_bytes), **settings}
        ) as (api, port),
        line_to(port) as line,
    ):
        at_rest_mib, peaks_mib = peak_mib(api.pid), []

        def restart() -> None:
            peaks_mib.append(peak_mib(api.pid))
            api.end(signal.SIGKILL)
            time.sleep(_DOWN_S)
            api.start()
            wait(port, api)

        cuts = [(size_bytes // 3, restart), (size_bytes * 2 // 3, line.cut)]
        begun = time.perf_counter()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            sending = processes.submit(SENDERS[client], f"http://127.0.0.1:{line.port}", str(film))
            _cut_while(sending, line, cuts)
        seconds = time.perf_counter() - begun
        peaks_mib.append(peak_mib(api.pid))
        is_right = not cuts and _is_kept(f"http://127.0.0.1:{port}", client, sending.result(), digest)
        return Row(
            client, storage, seconds, line.sent_bytes / size_bytes, at_rest_mib, max(peaks_mib), is_right
        )


def _cut_while(sending: Future[str], line: "Line", cuts: list[tuple[int, Callable[[], None]]]) -> None:
    """In this thread: what the API hangs from is the thread that started it."""
    until = time.monotonic() + _SEND_S_MAX
    while not sending.done():
        assert time.monotonic() < until, "it takes for ever"
        if cuts and line.sent_bytes >= cuts[0][0]:
            cuts.pop(0)[1]()
        time.sleep(0.02)


def _is_kept(address: str, client: str, sent: str, digest: str) -> bool:
    """Whether the job of this upload, and what is kept of the file, have this digest."""
    with httpx.Client(base_url=f"{address}/v1", timeout=600) as http:
        job_id = sent
        if client != "ours":
            job_id = http.post("/upscale", files={"upload": (None, sent)}).raise_for_status().json()["id"]
        told = http.get(f"/jobs/{job_id}").raise_for_status().json()["sha256"]
        kept = hashlib.sha256()
        with http.stream("GET", f"/jobs/{job_id}/input") as answer:
            for block in answer.iter_raw(1 << 20):
                kept.update(block)
    return bool(told == kept.hexdigest() == digest)


@contextmanager
def _settings_of(storage: str) -> Iterator[Mapping[str, str]]:
    if storage == "files":
        yield {}
        return
    with s3_running() as weed:
        yield {
            "STORAGE": "s3",
            "S3_ENDPOINT_URL": weed.server.endpoint_url,
            "S3_ACCESS_KEY": weed.server.access_key,
            "S3_SECRET_KEY": weed.server.secret_key,
            "S3_BUCKET": weed.server.bucket,
        }


# Each in a process of its own; they return the id of a job, or the address of an upload.


def send_by_ours(address: str, path: str) -> str:
    with Client(address) as client:
        return str(client.upload(Path(path)).id)


def send_by_tuspy(address: str, path: str) -> str:
    uploader = TusClient(f"{address}/v1/uploads").uploader(
        path, metadata={"filename": "film.mp4"}, chunk_size=64 << 20, retries=_RETRIES, retry_delay=_RETRY_S
    )
    uploader.upload()
    return str(uploader.url).rpartition("/")[2]


def send_by_tus_js(address: str, path: str) -> str:
    folder = ROOT / "client/typescript"
    command = ["node", "upload.mjs", f"{address}/v1/uploads", path, str(_RETRIES), str(_RETRY_S * 1000)]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return str(json.loads(ran.stdout)["url"]).rpartition("/")[2]


SENDERS: Final = {"ours": send_by_ours, "tuspy": send_by_tuspy, "tus-js-client": send_by_tus_js}


class Line:
    """TCP to a port of this machine; what clients send is counted, and all can be cut off at once."""

    def __init__(self, port: int) -> None:
        self.sent_bytes = 0
        self._to = port
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                except OSError:  # the API is away: so are we
                    client.close()
                    continue
                with self._lock:
                    self._ends |= {client, server}
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(*ends, ends[0] is client), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_sent: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                target.sendall(data)
                if is_sent:
                    with self._lock:
                        self.sent_bytes += len(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            with self._lock:
                self._ends.discard(end)


@contextmanager
def line_to(port: int) -> Iterator[Line]:
    line = Line(port)
    try:
        yield line
    finally:
        line.close()


if __name__ == "__main__":
    sys.exit(main())
