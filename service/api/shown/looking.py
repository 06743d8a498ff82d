"""Looking: a job as the store has it, for the many that ask at a time.

A thread and a round trip to the store cost more than all else of an answer. So whoever comes while the store
is being asked waits for the next time, which asks for all of them; nobody is told what was read before he
came. Not here: whose a job is (callers.py), jobs that the store lost (routes/jobs.py).
"""

import asyncio
from contextvars import Context

from anyio import to_thread

from service.jobs.index import Placed
from service.jobs.store import JobStore

_Asking = asyncio.Task[dict[str, Placed]]


class Looks:
    """Of one process. Not thread-safe: it is the event loop's."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._wanted: set[str] = set()  # of the next asking
        self._next: _Asking | None = None
        self._last: _Asking | None = None

    async def at(self, job_id: str) -> Placed | None:
        """None: the store does not know it. Raises StoreUnavailable."""
        self._wanted.add(job_id)
        asking = self._next
        if asking is None or asking.done():  # done: it was ended before it began, with its loop
            # In no request's context: what one of them logs or traces is not the others' matter.
            asking = self._next = asyncio.create_task(self._ask(self._last), context=Context())
        found = await asyncio.shield(asking)  # of those who wait, one that leaves ends nothing
        return found.get(job_id)

    async def _ask(self, before: _Asking | None) -> dict[str, Placed]:
        if before is not None and not before.done():
            await asyncio.wait([before])
        wanted, self._wanted = self._wanted, set()
        self._last, self._next = self._next, None
        return await to_thread.run_sync(self._store.look, list(wanted))
