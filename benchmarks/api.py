"""What the API takes: uploads at a steady pace, looks at jobs as fast as they go; with keys and without.

    python -m benchmarks.api [--rounds 3] [--seconds 5]

One API process over a Valkey and a folder, no worker; keys on and off take turns, so that what else the
machine does meets both. The client's connections stay open, and it takes a good part of a core itself. On a
busy machine rates say little; the processor time of a look does, of many short rounds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from benchmarks.shared.machine import cpu_s
from benchmarks.shared.markdown import number, table
from service.access import keys
from service.jobs.quotas import Quota
from service.objects.files import FileStorage
from tests.servers import Process, free_ports, valkey_running
from tests.service.api.samples import png

POSTS_S: Final = 50  # uploads a second
LOOKERS: Final = 16  # connections, each with a job of its own
START_S: Final = 30.0
HEAD: Final = ("keys", "POST ms, median", f"POST ms, p99 at {POSTS_S}/s", "GET a second", "GET processor ms")
_BOUNDARY: Final = "0123456789abcdef"
_UNBOUNDED: Final = Quota(
    open_jobs=10**9, bytes_per_day=10**15, megapixels_per_day=10**9, requests_per_minute=10**7
)


@dataclass(frozen=True, slots=True)
class Api:
    port: int
    key: str | None
    pid: int

    def head(self, method: str, path: str, *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *more]
        if self.key is not None:
            lines.append(f"Authorization: Bearer {self.key}")
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(slots=True)
class Seen:
    post_ms: list[float] = field(default_factory=list)
    gets_s: list[float] = field(default_factory=list)  # of each round
    get_cpu_ms: list[float] = field(default_factory=list)  # of each round, of the API's process


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parsed = parser.parse_args(arguments)
    seen = {"off": Seen(), "keys": Seen()}
    with running("off") as off, running("keys") as on:
        for _ in range(parsed.rounds):
            for name, api in (("off", off), ("keys", on)):
                asyncio.run(measure(api, parsed.seconds, seen[name]))
    print("\n".join(shown(seen)))
    return 0


def shown(seen: dict[str, Seen]) -> list[str]:
    rows = [
        (
            name,
            number(statistics.median(each.post_ms)),
            number(statistics.quantiles(each.post_ms, n=100)[98]),
            number(statistics.median(each.gets_s), 4),
            number(statistics.median(each.get_cpu_ms)),
        )
        for name, each in seen.items()
    ]
    pairs = zip(seen["off"].get_cpu_ms, seen["keys"].get_cpu_ms, strict=True)
    more = statistics.median(on / off for off, on in pairs) - 1
    return [
        *table(HEAD, rows),
        "",
        f"With keys a GET takes {100 * more:.1f} % more of the processor, by the median of the rounds.",
    ]


@contextmanager
def running(auth: str) -> Iterator[Api]:
    with tempfile.TemporaryDirectory(prefix="upscaled-api-") as name, valkey_running() as valkey:
        folder, key = Path(name), None
        if auth == "keys":
            key = keys.create(FileStorage(folder / "objects"), "bench", "user", _UNBOUNDED)
        settings = {"AUTH": auth, "REDIS_URL": valkey.url, "QUEUE_MAX": "1000000"}
        with serving(folder, settings) as (process, port):
            yield Api(port, key, process.pid)


@contextmanager
def serving(folder: Path, settings: Mapping[str, str]) -> Iterator[tuple[Process, int]]:
    """One API process that keeps its objects in the folder, and its port."""
    (port,) = free_ports(1)
    common = {"DATA_DIR": str(folder), "PORT": str(port)}
    models = dict.fromkeys(("DEFAULT_VIDEO_MODEL", "DEFAULT_IMAGE_MODEL"), "bicubic")  # no worker has others
    given = {f"UPSCALED_{setting}": value for setting, value in (common | models | dict(settings)).items()}
    api = Process([sys.executable, "-m", "service.api"], folder / "log", os.environ | given)
    api.start()
    try:
        wait(port, api)
        yield api, port
    finally:
        api.end()


def wait(port: int, api: Process) -> None:
    """Until it takes work."""
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz").is_success:
                return
        assert api.is_running, api.log()
        assert time.monotonic() < deadline, api.log()
        time.sleep(0.1)


async def measure(api: Api, seconds: float, seen: Seen) -> None:
    job_ids = [await _post(api) for _ in range(LOOKERS)]
    await _look(api, job_ids, 0.5)  # warm
    begun, used_s = time.perf_counter(), cpu_s(api.pid)
    gets = await _look(api, job_ids, seconds)
    seen.gets_s.append(gets / (time.perf_counter() - begun))
    seen.get_cpu_ms.append(1000 * (cpu_s(api.pid) - used_s) / gets)
    seen.post_ms.extend(await _upload(api, seconds))


async def _look(api: Api, job_ids: Sequence[str], seconds: float) -> int:
    """How many times these jobs were looked at, each on a connection."""
    until = time.perf_counter() + seconds

    async def look(job_id: str) -> int:
        request, count = api.head("GET", f"/v1/jobs/{job_id}"), 0
        async with _connected(api) as (reader, writer):
            while time.perf_counter() < until:
                status, _ = await _ask(reader, writer, request)
                assert status == httpx.codes.OK, status
                count += 1
        return count

    return sum(await asyncio.gather(*map(look, job_ids)))


async def _upload(api: Api, seconds: float) -> list[float]:
    """Milliseconds of each upload, begun when its time is, whether those before have ended or not."""
    loop, uploads = asyncio.get_running_loop(), []
    begin = loop.time()
    for index in range(round(seconds * POSTS_S)):
        await asyncio.sleep(max(0.0, begin + index / POSTS_S - loop.time()))
        uploads.append(asyncio.create_task(_timed(api)))
    return await asyncio.gather(*uploads)


async def _timed(api: Api) -> float:
    begun = time.perf_counter()
    await _post(api)
    return (time.perf_counter() - begun) * 1000


async def _post(api: Api) -> str:
    body = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
        + png()
        + f"\r\n--{_BOUNDARY}--\r\n".encode()
    )
    form = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}"
    async with _connected(api) as (reader, writer):
        request = api.head("POST", "/v1/upscale", form, f"Content-Length: {len(body)}") + body
        status, answer = await _ask(reader, writer, request)
    assert status == httpx.codes.ACCEPTED, (status, answer)
    job_id: str = json.loads(answer)["id"]
    return job_id


@asynccontextmanager
async def _connected(api: Api) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    """Status and body. Every answer that is asked for here tells its length."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    (told,) = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    length = int(told.partition(b":")[2])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


if __name__ == "__main__":
    sys.exit(main())
