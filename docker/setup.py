"""Before each start of the compose project, as root in a container of its own: secrets, owners of volumes.

Each container gets a volume with the secrets that it needs and no others, and they let it do what it has to
and no more: the tables below say what. What is drawn lies in the volume `keys`, which nobody else sees; the
others follow from it, so that one that was lost comes back. What is missing is made and the rest stays, so
this may run at every start. No secret is in an image, in the environment or in the repository.

What an operator puts into `keys` under a setting's name (`upscaled_redis_url`) goes before what is drawn.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

KEYS = Path("/keys")
ROLES = Path("/roles")  # a volume each
OWNED = (Path("/objects"), Path("/scratch"))  # volumes that containers without root write to
USER = (10001, 10001)  # of every image of ours, and what s3 runs as
VALKEY_USER = (999, 1000)
DRAWN = "drawn.json"
FORMER = (
    "s3.json"  # of earlier versions: one identity, `upscaled`, that all shared and that could do anything
)
FORMER_PAIR = ("upscaled_s3_access_key", "upscaled_s3_secret_key")

# What each may do in S3: to all below a prefix of the bucket. A worker is where strangers' files are decoded.
S3 = {
    "api": {"Read": ("",), "Write": ("",), "List": ("",), "Tagging": ("",)},
    "worker": {
        "Read": ("jobs/", "models/"),
        "Write": ("jobs/", "models/", "ping"),
        "List": ("jobs/", "models/"),
    },
    "trainer": {"Read": ("models/",), "Write": ("models/",), "List": ("models/",)},
    "bucket": {"Admin": ("",)},  # makes it, and is gone
}
# What each may do in Valkey. Workers see nothing of Idempotency-Keys, which name what callers chose, nor can
# they let requests in.
COMMON = ("+@read", "+@write", "+@connection", "+@transaction", "+eval", "+evalsha", "+script|load", "+time")
NEITHER = ("-@dangerous", "-scan", "-randomkey", "-dbsize")  # last: categories overlap
JOBS = (
    "active", "brief", "counted:*", "counts", "finished", "heard", "hooks", "job:*", "jobs", "level",
    "line:*", "open:*", "owned:*", "pace:*", "ping", "queued", "ready:*", "ring:*", "rings", "spent",
    "steps:*", "took:*", "used:*", "workers",
)  # fmt: skip
REMEMBERED = "key:*"  # written by whoever ends a job of which the store knows nothing any more
API_ONLY = ("claim:*", "complete", "drawn:*", "epoch")
VALKEY = {
    "api": {"commands": (*COMMON, *NEITHER, "+info"), "keys": ("~upscaled:*",)},
    "worker": {
        "commands": (*COMMON, *NEITHER),
        "keys": (*(f"~upscaled:{name}" for name in JOBS), f"%W~upscaled:{REMEMBERED}"),
    },
}
CELERY = ("~_kombu.*", "~unacked*")  # beside its queue: who listens to it, and what is not acknowledged

# Of what operators bring: who reads it. What is not named here all do.
READ_BY = {"upscaled_redis_url": ("api", "worker"), "upscaled_webhook_secrets": ("api",)}


def main() -> None:
    for folder in (KEYS, *OWNED):
        shutil.chown(folder, *USER)
    drawn = draw()
    for role in S3:
        pair = drawn["s3"][role]
        files = dict(zip(FORMER_PAIR, (pair["accessKey"], pair["secretKey"]), strict=True))
        if role in VALKEY:
            files["upscaled_redis_url"] = f"redis://{role}:{drawn['valkey'][role]}@valkey:6379/0"
        keep(role, files | brought(role))
    keep("s3", {"s3.json": identities(drawn, os.environ.get("UPSCALED_S3_BUCKET") or "upscaled")})
    keep("valkey", {"users.acl": users(drawn, os.environ.get("UPSCALED_QUEUE") or "upscaled")}, VALKEY_USER)
    forget_former()


def draw() -> dict[str, Any]:
    """Secrets of all roles: those that there are, and new ones for the rest."""
    kept = KEYS / DRAWN
    drawn: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    others, s3, valkey = (drawn.setdefault(*each) for each in (("others", []), ("s3", {}), ("valkey", {})))
    others += [each for each in former() if each["name"] != "upscaled" and each not in others]
    for role in S3:
        if role not in s3:
            s3[role] = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_urlsafe(32)}
    for role in VALKEY:
        valkey.setdefault(role, secrets.token_urlsafe(32))
    if write(kept, json.dumps(drawn), USER):
        print("setup: drew secrets for S3 and Valkey")
    return drawn


def identities(drawn: dict[str, Any], bucket: str) -> str:
    """Of SeaweedFS: ours, and those that an operator once added."""

    def allowed(action: str, prefix: str) -> str:
        return (
            f"{action}:{bucket}/{prefix}*" if prefix else f"{action}:{bucket}"
        )  # a name alone matches nothing

    ours = [
        {
            "name": f"upscaled-{role}",
            "credentials": [drawn["s3"][role]],
            "actions": [allowed(action, prefix) for action, prefixes in may.items() for prefix in prefixes],
        }
        for role, may in S3.items()
    ]
    return json.dumps({"identities": ours + drawn["others"]}, indent=1)


def users(drawn: dict[str, Any], queue: str) -> str:
    """Valkey's users. Its health check is one, which may ask whether it is alive, by any password.

    As `default` nobody is let in. It has every right all the same: Valkey 8 replays its own file in its name,
    and would leave out what scripts wrote.
    """
    if re.fullmatch(r"[\w.-]+", queue) is None:
        raise SystemExit(f"setup: UPSCALED_QUEUE={queue!r}: letters, digits, `_`, `.` and `-` alone")
    celery = (f"~{queue}", f"~{queue}??[369]", *CELERY)  # one list for each priority
    lines = ["user default reset off ~* &* +@all", "user health reset on nopass resetchannels -@all +ping"]
    for role, may in VALKEY.items():
        digest = hashlib.sha256(drawn["valkey"][role].encode()).hexdigest()
        words = (
            "reset",
            "on",
            f"#{digest}",
            "resetchannels",
            *may["keys"],
            *celery,
            "-@all",
            *may["commands"],
        )
        lines.append(" ".join(("user", role, *words)))
    return "\n".join([*lines, ""])


def brought(role: str) -> dict[str, str]:
    """What an operator put into `keys` that this role reads."""
    theirs = {path.name: path.read_text() for path in KEYS.glob("upscaled_*")}
    if is_former(theirs):
        for name in FORMER_PAIR:
            del theirs[name]
    for name, readers in READ_BY.items():
        if role not in readers:
            theirs.pop(name, None)
    return theirs


def former() -> list[dict[str, Any]]:
    """Identities as an earlier version left them."""
    path = KEYS / FORMER
    found: list[dict[str, Any]] = json.loads(path.read_text())["identities"] if path.exists() else []
    return found


def is_former(files: dict[str, str]) -> bool:
    """Whether the pair is the one that an earlier version drew, and no operator's."""
    pair = dict(zip(("accessKey", "secretKey"), map(files.get, FORMER_PAIR), strict=True))
    return any(pair in each["credentials"] for each in former() if each["name"] == "upscaled")


def forget_former() -> None:
    """Last: until all else is there, an earlier version could be gone back to."""
    if is_former({name: (KEYS / name).read_text() for name in FORMER_PAIR if (KEYS / name).exists()}):
        for name in FORMER_PAIR:
            (KEYS / name).unlink()
        print("setup: the identity that all shared in S3 is no more; each has its own")
    (KEYS / FORMER).unlink(missing_ok=True)


def keep(role: str, files: dict[str, str], user: tuple[int, int] = USER) -> None:
    """Have just these in the role's volume."""
    folder = ROLES / role
    shutil.chown(folder, *user)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        write(folder / name, text, user)


def write(path: Path, text: str, user: tuple[int, int]) -> bool:
    """Whole or not at all; whether it was another before."""
    if path.exists() and path.read_text() == text:
        return False
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    aside.touch(0o600)
    aside.write_text(text)
    aside.chmod(0o400)
    shutil.chown(aside, *user)
    aside.replace(path)
    return True


if __name__ == "__main__":
    main()
