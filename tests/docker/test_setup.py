"""The secrets that compose's setup draws: kept, carried over, each for one container. What they are good for:
test_credentials.py."""

import json
import re
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from service.jobs.redis.scripts import FOLDER
from tests.docker.test_compose import SERVICES

PAIR = ("upscaled_s3_access_key", "upscaled_s3_secret_key")


def written(setup: ModuleType) -> dict[str, str]:
    """By role and name, all that it gave out."""
    paths = sorted(path for path in setup.ROLES.rglob("*") if path.is_file())
    return {str(path.relative_to(setup.ROLES)): path.read_text() for path in paths}


def identities(setup: ModuleType) -> dict[str, tuple[str, str]]:
    """What SeaweedFS is told: by name, access key and secret."""
    found = json.loads(written(setup)["s3/s3.json"])["identities"]
    return {each["name"]: tuple(each["credentials"][0].values()) for each in found}


def test_each_container_is_given_what_it_needs_and_nobody_reads_anothers(setup: ModuleType) -> None:
    setup.main()
    files = written(setup)
    assert set(files) == {
        *(f"{role}/{name}" for role in ("api", "worker", "trainer", "bucket") for name in PAIR),
        "api/upscaled_redis_url",
        "worker/upscaled_redis_url",
        "s3/s3.json",
        "valkey/users.acl",
    }
    secrets = [text for name, text in files.items() if not name.startswith(("s3/", "valkey/"))]
    assert len(set(secrets)) == len(secrets)
    assert "user default reset off ~* &* +@all" in files["valkey/users.acl"].splitlines()
    passwords = [urlsplit(files[f"{role}/upscaled_redis_url"]).password for role in ("api", "worker")]
    assert not any(password and password in files["valkey/users.acl"] for password in passwords)
    modes = {path.stat().st_mode & 0o777 for path in setup.ROLES.rglob("*") if path.is_file()}
    assert modes == {0o400}
    mounted = {
        name: [volume.partition(":")[0] for volume in service.get("volumes", []) if "keys" in str(volume)]
        for name, service in SERVICES.items()
        if name != "setup"
    }
    assert {name: volumes for name, volumes in mounted.items() if volumes} == {
        name: [f"keys-{name}"] for name in ("api", "worker", "trainer", "bucket", "s3", "valkey")
    }


def test_what_exists_stays_and_what_is_lost_comes_back(setup: ModuleType) -> None:
    setup.main()
    before = written(setup)
    made_at = {path: path.stat().st_mtime_ns for path in setup.ROLES.rglob("*") if path.is_file()}
    setup.main()
    assert {path: path.stat().st_mtime_ns for path in made_at} == made_at
    for path in (setup.ROLES / "worker").iterdir():
        path.unlink()
    setup.main()
    assert written(setup) == before


def test_the_identity_that_all_shared_goes_and_what_an_operator_added_stays(setup: ModuleType) -> None:
    shared = {"accessKey": "a" * 20, "secretKey": "s" * 43}
    backup = {"name": "backup", "credentials": [{"accessKey": "b", "secretKey": "c"}], "actions": ["Read"]}
    former = {"name": "upscaled", "credentials": [shared], "actions": ["Admin", "Read", "Write", "List"]}
    (setup.KEYS / "s3.json").write_text(json.dumps({"identities": [former, backup]}))
    for name, text in zip(PAIR, shared.values(), strict=True):
        (setup.KEYS / name).write_text(text)
    setup.main()
    assert ("b", "c") in identities(setup).values()
    assert not any("a" * 20 in text or "s" * 43 in text for text in written(setup).values())
    assert [path.name for path in setup.KEYS.iterdir()] == ["drawn.json"]
    before = written(setup)
    setup.main()
    assert written(setup) == before


def test_what_an_operator_put_there_goes_before_what_is_drawn(setup: ModuleType) -> None:
    theirs = {
        PAIR[0]: "theirs",
        PAIR[1]: "their secret",
        "upscaled_redis_url": "rediss://:password@redis.example.org:6379/0",
        "upscaled_webhook_secrets": "whsec_x",
    }
    for name, text in theirs.items():
        (setup.KEYS / name).write_text(text)
    setup.main()
    files = written(setup)
    assert {files[f"{role}/{PAIR[0]}"] for role in setup.S3} == {"theirs"}
    assert {name for name, text in files.items() if text == theirs["upscaled_redis_url"]} == {
        "api/upscaled_redis_url",
        "worker/upscaled_redis_url",
    }
    assert {name for name, text in files.items() if text == "whsec_x"} == {"api/upscaled_webhook_secrets"}
    (setup.KEYS / "upscaled_webhook_secrets").unlink()
    setup.main()
    assert "api/upscaled_webhook_secrets" not in written(setup)


def test_every_key_of_the_store_is_said_to_be_of_workers_or_not(setup: ModuleType) -> None:
    """A new one that workers use must be allowed to them, or they fail where it is first used."""
    named = {
        name
        for script in FOLDER.glob("*.lua")
        for name in re.findall(r"P \.\. '([a-z_]+:?)", script.read_text())
    }
    python = "".join(path.read_text() for path in FOLDER.parent.glob("*.py"))
    named |= set(re.findall(r"\{PREFIX\}([a-z_]+:?)", python))
    assert {f"{name}*" if name.endswith(":") else name for name in named} == {
        *setup.JOBS,
        setup.REMEMBERED,
        *setup.API_ONLY,
    }


def test_a_bucket_and_a_queue_of_other_names_are_what_is_allowed(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSCALED_QUEUE", "gpu-jobs")
    monkeypatch.setenv("UPSCALED_S3_BUCKET", "films")
    setup.main()
    files = written(setup)
    assert " ~gpu-jobs ~gpu-jobs??[369] " in files["valkey/users.acl"]
    assert "upscaled/" not in files["s3/s3.json"]
    assert "Write:films/jobs/*" in files["s3/s3.json"]
    monkeypatch.setenv("UPSCALED_QUEUE", "a on nopass +@all")
    with pytest.raises(SystemExit, match="UPSCALED_QUEUE"):
        setup.main()
