"""What the store in memory holds, and the moves that its parts share; entry.py has those of one job."""

import time
from collections.abc import Callable
from threading import RLock

from service.jobs.memory.entry import Entry
from service.jobs.memory.ledger import Ledger
from service.jobs.model import Job
from service.jobs.pace import Measured
from service.jobs.steps import ASSEMBLE, PLAN, Lease, StepRecord
from service.jobs.store import unknown_job
from service.jobs.turns import Turns


class MemoryState:
    def __init__(self, *, lease_s: float, attempts_max: int, clock: Callable[[], float] = time.time) -> None:
        self.now = clock
        self._lease_s = lease_s
        self._attempts_max = attempts_max
        self._entries: dict[str, Entry] = {}
        self._ids_by_key: dict[str, str] = {}
        self._hooks: dict[str, float] = {}  # when they are due, by id of the job
        self._turns = Turns()
        self._workers: dict[str, float] = {}
        self._paces: dict[str, list[Measured]] = {}
        self._ledger = Ledger(clock)
        self._is_complete = False
        self._claims: dict[str, tuple[str, float]] = {}  # by key: the job, and until when
        self._lock = RLock()

    def _entry(self, job_id: str) -> Entry:
        if job_id not in self._entries:
            raise unknown_job(job_id)
        return self._entries[job_id]

    def _insert(self, job: Job, idempotency_key: str | None, fence_floor: int = 0) -> Entry:
        unbegun = StepRecord(fence=fence_floor)
        new = Entry(job, unbegun, steps={} if job.state.is_terminal else {PLAN: unbegun, ASSEMBLE: unbegun})
        if job.id not in self._entries:
            self._note_hook(job)
        entry = self._entries.setdefault(job.id, new)
        if entry is new:
            self._line_up(entry)
        # A key belongs to the job that came first, also when a later one's manifest is found.
        if idempotency_key is not None and idempotency_key not in self._ids_by_key:
            entry.idempotency_key = idempotency_key
            self._ids_by_key[idempotency_key] = job.id
        return entry

    def _note_hook(self, job: Job) -> None:
        if job.state.is_terminal and job.handling.webhook is not None:
            self._hooks[job.id] = job.updated_at

    def _held(self, lease: Lease) -> StepRecord | None:
        """The step's record when this lease is its newest; an expired one is good until superseded."""
        entry = self._entries.get(lease.job_id)
        record = None if entry is None else entry.steps.get(lease.step)
        if record is None or (record.fence, record.owner) != (lease.fence, lease.owner):
            return None
        return record

    def _line_up(self, entry: Entry) -> int:
        added = entry.line_up(self.now())
        self._stand(entry)
        return added

    def _stand(self, entry: Entry) -> None:
        step = entry.first_in_line()
        cost = 0 if step is None else entry.cost_of(step)
        self._turns.stand(entry.job, step, entry.runtime, cost=cost, at=self.now())
