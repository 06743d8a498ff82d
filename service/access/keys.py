"""Keys: what a caller shows to be let in. One object each in storage, so that a lost job store loses none.

    keys/<id>.json      name, role, quota, digest of the secret, when made and when revoked

A key is `upk_<id>_<secret>`: the id finds the object, the secret proves it. Only a digest is kept; a plain
one, as nobody guesses 256 random bits, however fast. Start reading at `Keyring.recognise`.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from threading import Lock
from typing import Literal

from service.errors import InputError
from service.jobs.model import Record
from service.jobs.quotas import UNLIMITED, Quota
from service.objects.base import NotFound, Storage

PREFIX = "keys/"
FRESH_S = 1.0  # how long one look at a key serves: a revoked one works that much longer
_KNOWN_MAX = 4096  # keys looked at that are remembered; ids that somebody makes up are among them
_LOOKS_MAX = 64  # at a time; more than there are threads that do it
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


class Keyring:
    """recognise(shown) -> the key it is, or None: unknown, revoked or no key at all.

    It blocks unless `remembers` says so of what is shown; thread-safe.
    """

    def __init__(self, storage: Storage, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._seen: dict[str, tuple[float, Key | None]] = {}  # by id; entries are replaced whole
        self._locks = [Lock() for _ in range(_LOOKS_MAX)]  # a key is looked at once, for all who show it

    def recognise(self, shown: str) -> Key | None:
        form = _FORM.fullmatch(shown)
        if form is None:
            return None
        key_id, secret = form.groups()
        key = self._find(key_id)
        kept = "" if key is None or key.revoked_at is not None else key.secret_sha256
        return key if hmac.compare_digest(kept, _digest(secret)) else None

    def remembers(self, shown: str) -> bool:
        return self._remembered(shown[4:20]) is not None

    def _remembered(self, key_id: str) -> tuple[float, Key | None] | None:
        seen = self._seen.get(key_id)
        return seen if seen is not None and self._clock() - seen[0] <= FRESH_S else None

    def _find(self, key_id: str) -> Key | None:
        seen = self._remembered(key_id)
        if seen is not None:
            return seen[1]
        with self._locks[hash(key_id) % len(self._locks)]:
            seen = self._remembered(key_id)  # others who show it may have looked meanwhile
            if seen is not None:
                return seen[1]
            now = self._clock()
            try:
                key = Key.model_validate_json(self._storage.get(_key_of(key_id)))
            except NotFound:
                key = None
            if len(self._seen) >= _KNOWN_MAX:
                self._seen = {}
            self._seen[key_id] = (now, key)
            return key


def _save(storage: Storage, key: Key) -> None:
    storage.put(_key_of(key.id), key.model_dump_json(exclude_defaults=True).encode())


def _key_of(key_id: str) -> str:
    return f"{PREFIX}{key_id}.json"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
