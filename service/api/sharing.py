"""Sharing: those who want the same of the storage or the store at one time have it asked once, for all.

A thread and its question cost more than all else that lets a request in. Who comes while it is asked is told
that answer, as he would be told one that was kept; not where it was begun too long ago. Not here: jobs, of
which nobody is told what was read before he came (shown/looking.py).
"""

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from typing import Final, Generic, TypeVar, TypeVarTuple

from anyio import to_thread

FRESH_S: Final = 1.0  # how old an answer may be: a key that was revoked works that much longer

Asked = TypeVarTuple("Asked")
T = TypeVar("T")


class Shared(Generic[*Asked, T]):
    """A function that blocks, for all of one process. Not thread-safe: it is the event loop's."""

    def __init__(
        self, function: Callable[[*Asked], T], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._function = function
        self._clock = clock
        self._asking: dict[tuple[*Asked], tuple[float, asyncio.Task[T]]] = {}

    async def ask(self, *what: *Asked) -> T:
        """What the function gives, or raises, of this; begun at most FRESH_S before."""
        now, found = self._clock(), self._asking.get(what)
        if found is None or found[1].done() or now - found[0] > FRESH_S:
            # In no request's context: what one of them logs or traces is not the others' matter.
            found = now, asyncio.create_task(self._answer(*what), context=Context())
            self._asking[what] = found
        return await asyncio.shield(found[1])  # of those who wait, one that leaves ends nothing

    async def _answer(self, *what: *Asked) -> T:
        try:
            return await to_thread.run_sync(self._function, *what)
        finally:
            found = self._asking.get(what)
            if found is not None and found[1] is asyncio.current_task():  # else a later one is under way
                del self._asking[what]
