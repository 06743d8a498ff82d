"""JobStore in the memory of one process: for tests and for reading, as it states the rules in plain Python.

The contract suite holds it and redis/ to the same behaviour; service/jobs/store.py tells the rules.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from service.jobs.manifest import Segment
from service.jobs.memory.index import MemoryIndex
from service.jobs.memory.steps import MemorySteps
from service.jobs.memory.usage import MemoryUsage
from service.jobs.model import Job
from service.jobs.quotas import COUNTED, UNLIMITED, Quota, asked_of_a_job
from service.jobs.states import EXPIRY, JobEvent, advance
from service.jobs.steps import Lease, Runtime, Superseded, segment_step
from service.jobs.store import CLAIM_S, FinishedPart, key_conflict


class MemoryStore(MemorySteps, MemoryIndex, MemoryUsage):
    def create(
        self,
        job: Job,
        *,
        idempotency_key: str | None = None,
        quota: Quota = UNLIMITED,
        bytes_in: int = 0,
    ) -> Job:
        with self._lock:
            if idempotency_key in self._ids_by_key:
                earlier = self._entries[self._ids_by_key[idempotency_key]].job
                if earlier.request_digest() != job.request_digest():
                    raise key_conflict(idempotency_key)
                return earlier
            if job.owner is not None:
                asked = asked_of_a_job(job.purpose, bytes_in)
                self.admit(job.owner, quota, asked)
                counted = {what: asked.get(what, 0) for what in COUNTED}
                self._ledger.count(job.id, job.owner, counted)
            # A sweeper may have seen the manifest and restored the job a moment before us.
            entry = self._insert(job, idempotency_key)
            entry.quota = quota
            return entry.job

    def restore(
        self,
        job: Job,
        *,
        segments: Iterable[Segment] = (),
        parts: Mapping[int, FinishedPart] | None = None,
        fence_floor: int = 0,
        runtime: Runtime | None = None,
        idempotency_key: str | None = None,
    ) -> bool:
        with self._lock:
            if job.id in self._entries:
                return False
            entry = self._insert(job, idempotency_key, fence_floor)
            if not job.state.is_terminal:
                entry.lay_out(segments)
                entry.runtime = runtime
            for index, part in (parts or {}).items():
                outcome = {"part_key": part.part_key, "state_key": part.state_key}
                entry.mark_done(segment_step(index), at=self.now(), **outcome)
            self._line_up(entry)
            return True

    def conclude(self, job: Job, *, idempotency_key: str | None = None) -> Job:
        with self._lock:
            entry = self._entries.get(job.id) or self._insert(job, idempotency_key)
            known = entry.job
            if not known.state.is_terminal or (known.state, job.state) == EXPIRY:
                entry.set(job, frames_done=max(known.frames_done, job.frames_done), at=self.now())
                self._note_hook(entry.job)
                self._turns.leave(job.id)
            return entry.job

    def claim(self, idempotency_key: str, job_id: str, *, instead_of: str | None = None) -> str:
        with self._lock:
            claimed, until = self._claims.get(idempotency_key, (None, 0.0))
            if claimed is not None and claimed != instead_of and until > self.now():
                return claimed
            self._claims[idempotency_key] = job_id, self.now() + CLAIM_S
            return job_id

    def get(self, job_id: str) -> Job:
        with self._lock:
            return self._entry(job_id).job

    def delete(self, job_id: str) -> None:
        with self._lock:
            self._turns.leave(job_id)
            entry = self._entries.pop(job_id, None)
            self._hooks.pop(job_id, None)
            if entry is not None and entry.idempotency_key is not None:
                del self._ids_by_key[entry.idempotency_key]

    def transition(self, job_id: str, event: JobEvent, *, lease: Lease | None = None, **changes: Any) -> Job:
        with self._lock:
            entry = self._entry(job_id)
            if lease is not None and self._held(lease) is None:
                raise Superseded(f"{job_id} {lease.step}")
            before, state = entry.job.state, advance(entry.job.state, event)
            job = entry.move(entry.job.with_changes(**changes), state, at=self.now())
            self._note_hook(job)
            if state is not before:
                entry.line.clear()
                self._line_up(entry)
            return job

    def add_notices(self, job_id: str, notices: Iterable[str]) -> None:
        with self._lock:
            entry = self._entry(job_id)
            report = entry.job.report or {}
            known = dict.fromkeys([*report.get("notices", []), *notices])
            entry.set(entry.job, report=report | {"notices": list(known)}, at=self.now())
