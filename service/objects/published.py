"""Where published models lie in storage, and the one order in which they get there.

    models/<name>/<version>/{model.safetensors,config.json,card.json}   immutable
    models/<name>/latest.json   {"version": ..., "previous": ...}       the only thing that moves

Not here: what is in the files (model_core), loading them (the workers).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.objects.base import NotFound, Storage

MODELS_PREFIX = "models/"
FILES = ("model.safetensors", "config.json", "card.json")


@dataclass(frozen=True, slots=True)
class Latest:
    """What `latest.json` says; `previous` is where it pointed before, to fall back on when this is bad."""

    version: str
    previous: str | None = None


def file_key(name: str, version: str, file: str) -> str:
    return f"{MODELS_PREFIX}{name}/{version}/{file}"


def latest_key(name: str) -> str:
    return f"{MODELS_PREFIX}{name}/latest.json"


def names(storage: Storage) -> Iterator[str]:
    """Every model that has a latest version, in order."""
    for key in storage.list(MODELS_PREFIX):
        name, _, rest = key.removeprefix(MODELS_PREFIX).partition("/")
        if rest == "latest.json":
            yield name


def read_latest(storage: Storage, name: str) -> Latest:
    """Raises NotFound when the model was never published, ValueError when the pointer is unreadable."""
    content = json.loads(storage.get(latest_key(name)))
    if not isinstance(content, dict) or not isinstance(content.get("version"), str):
        raise ValueError(f"{latest_key(name)} names no version: {content!r}")
    return Latest(content["version"], content.get("previous"))


def put_files(storage: Storage, name: str, version: str, folder: Path) -> None:
    """The three files of a checkpoint; those that are there already stay as they are."""
    for file in FILES:
        storage.put_if_absent(file_key(name, version, file), (folder / file).read_bytes())


def publish(storage: Storage, name: str, version: str, folder: Path) -> None:
    """Give new jobs this version. Files first, so that the pointer never names what isn't complete."""
    put_files(storage, name, version, folder)
    move_latest(storage, name, version)


def publish_first(storage: Storage, name: str, version: str, folder: Path) -> bool:
    """The same only where no version was ever published; of many workers at once exactly one gets True."""
    if storage.exists(latest_key(name)):
        return False
    put_files(storage, name, version, folder)
    return storage.put_if_absent(latest_key(name), _pointer(Latest(version)))


def move_latest(storage: Storage, name: str, version: str) -> None:
    """Point to a version that is complete in storage: after publishing, or back to an older one."""
    try:
        previous = read_latest(storage, name).version
    except (NotFound, ValueError):
        previous = None
    storage.put(latest_key(name), _pointer(Latest(version, previous)))


def _pointer(latest: Latest) -> bytes:
    return json.dumps({"version": latest.version, "previous": latest.previous}).encode()
