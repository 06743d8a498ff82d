"""Keys: what a caller shows to be let in. One object each in storage, so that a lost job store loses none.

    keys/<id>.json      name, role, quota, digest of the secret, when made and when revoked

A key is `upk_<id>_<secret>`: the id finds the object, the secret proves it. Only a digest is kept; a plain
one, as nobody guesses 256 random bits, however fast. Not here: who is let in (service/api/keyring.py).
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Literal

from service.errors import InputError
from service.jobs.model import Record
from service.jobs.quotas import UNLIMITED, Quota
from service.objects.base import NotFound, Storage

PREFIX = "keys/"
_FORM = re.compile(r"upk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")

Role = Literal["user", "admin"]


class UnknownKey(InputError):
    """There is no key of that name or id."""

    code = "unknown_key"
    http_status = 404


class KeyNameTaken(InputError):
    """A key of that name is in use."""

    code = "key_name_taken"
    http_status = 409


class Key(Record):
    id: str
    name: str
    role: Role  # an admin sees and ends the jobs of all
    quota: Quota = UNLIMITED  # where it has no limit, its role's holds
    secret_sha256: str
    created_at: float
    revoked_at: float | None = None


def create(
    storage: Storage,
    name: str,
    role: Role = "user",
    quota: Quota = UNLIMITED,
    *,
    clock: Callable[[], float] = time.time,
) -> str:
    """Make a key and return what its holder shows, which nobody can find out later. Raises KeyNameTaken."""
    if any(key.name == name and key.revoked_at is None for key in list_all(storage)):
        raise KeyNameTaken(f"a key is called {name!r} already; revoke it first", field="name", value=name)
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    key = Key(id=key_id, name=name, role=role, quota=quota, secret_sha256=_digest(secret), created_at=clock())
    _save(storage, key)
    return f"upk_{key_id}_{secret}"


def list_all(storage: Storage) -> list[Key]:
    """Oldest first, the revoked ones too."""
    keys = [Key.model_validate_json(storage.get(name)) for name in storage.list(PREFIX)]
    return sorted(keys, key=lambda key: (key.created_at, key.id))


def revoke(storage: Storage, name: str, *, clock: Callable[[], float] = time.time) -> Key:
    """End the key of that name or id; its jobs stay. Raises UnknownKey."""
    return _change(storage, name, revoked_at=clock())


def limit(storage: Storage, name: str, quota: Quota) -> Key:
    """Give the key of that name or id another quota. Raises UnknownKey."""
    return _change(storage, name, quota=quota)


def _change(storage: Storage, name: str, **changes: object) -> Key:
    for key in list_all(storage):
        if name in (key.name, key.id) and key.revoked_at is None:
            changed = key.model_copy(update=changes)
            _save(storage, changed)
            return changed
    raise UnknownKey(f"no key in use is called {name!r}", field="name", value=name)


def parts(shown: str) -> tuple[str, str] | None:
    """Id and secret of what is shown as a key; None where it is none of ours."""
    form = _FORM.fullmatch(shown)
    return None if form is None else (form[1], form[2])


def find(storage: Storage, key_id: str) -> Key | None:
    """The key of that id, in use or revoked."""
    try:
        return Key.model_validate_json(storage.get(_key_of(key_id)))
    except NotFound:
        return None


def proves(secret: str, key: Key | None) -> bool:
    """Whether this is a key in use, and the secret its own; takes as long whichever it is."""
    kept = "" if key is None or key.revoked_at is not None else key.secret_sha256
    return hmac.compare_digest(kept, _digest(secret))


def _save(storage: Storage, key: Key) -> None:
    storage.put(_key_of(key.id), key.model_dump_json(exclude_defaults=True).encode())


def _key_of(key_id: str) -> str:
    return f"{PREFIX}{key_id}.json"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
