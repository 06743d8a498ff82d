"""Keyring: which key a caller shows, by what storage has of it. Each is looked at again once a second.

Not here: how keys are made and kept (service/access/keys.py), what follows for a request (callers.py).
"""

import time
from collections.abc import Callable

from service.access.keys import Key, find, parts, proves
from service.api.sharing import FRESH_S, Shared
from service.objects.base import Storage

_KNOWN_MAX = 4096  # keys looked at that are remembered; ids that somebody makes up are among them


class Keyring:
    """Of one process. Not thread-safe: it is the event loop's."""

    def __init__(self, storage: Storage, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._seen: dict[str, tuple[float, Key | None]] = {}  # by id; entries are replaced whole
        self._looks = Shared(self._look, clock=clock)

    async def recognise(self, shown: str) -> Key | None:
        """The key it is, or None: unknown, revoked or no key at all."""
        known = parts(shown)
        if known is None:
            return None
        key_id, secret = known
        seen = self._seen.get(key_id)
        fresh = seen is not None and self._clock() - seen[0] <= FRESH_S
        key = seen[1] if seen is not None and fresh else await self._looks.ask(key_id)
        return key if proves(secret, key) else None

    def _look(self, key_id: str) -> Key | None:
        """In a thread, one of each key at a time."""
        begun = self._clock()
        key = find(self._storage, key_id)
        if len(self._seen) >= _KNOWN_MAX:
            self._seen = {}
        self._seen[key_id] = (begun, key)
        return key
