"""JobStore in the memory of one process: for tests and for reading, as it states the rules in plain Python.

The contract suite holds it and redis.py to the same behaviour; store.py tells the rules, memory_entry.py has
those of one job.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import RLock
from typing import Any

from service.jobs.manifest import Segment
from service.jobs.memory_entry import Entry
from service.jobs.model import Job
from service.jobs.states import EXPIRY, JobEvent, JobState, advance
from service.jobs.store import (
    ASSEMBLE,
    FINISHED_PAGE,
    PLAN,
    RUNNABLE_IN,
    DueHook,
    FinishedPart,
    Lease,
    Step,
    StepRecord,
    Superseded,
    in_order,
    key_conflict,
    segment_step,
    too_many_attempts,
    unknown_job,
)


class MemoryStore:
    def __init__(self, *, lease_s: float, attempts_max: int, clock: Callable[[], float] = time.time) -> None:
        self.now = clock
        self._lease_s = lease_s
        self._attempts_max = attempts_max
        self._entries: dict[str, Entry] = {}
        self._ids_by_key: dict[str, str] = {}
        self._hooks: dict[str, float] = {}  # when they are due, by id of the job
        self._is_complete = False
        self._lock = RLock()

    # Jobs

    def create(self, job: Job, *, idempotency_key: str | None = None) -> Job:
        with self._lock:
            if idempotency_key in self._ids_by_key:
                earlier = self._entries[self._ids_by_key[idempotency_key]].job
                if earlier.request_digest() != job.request_digest():
                    raise key_conflict(idempotency_key)
                return earlier
            # A sweeper may have seen the manifest and restored the job a moment before us.
            return self._insert(job, idempotency_key).job

    def restore(
        self,
        job: Job,
        *,
        segments: Iterable[Segment] = (),
        parts: Mapping[int, FinishedPart] | None = None,
        fence_floor: int = 0,
        idempotency_key: str | None = None,
    ) -> bool:
        with self._lock:
            if job.id in self._entries:
                return False
            entry = self._insert(job, idempotency_key, fence_floor)
            if not job.state.is_terminal:
                entry.lay_out(segments)
            for index, part in (parts or {}).items():
                outcome = {"part_key": part.part_key, "state_key": part.state_key}
                entry.mark_done(segment_step(index), at=self.now(), **outcome)
            return True

    def conclude(self, job: Job, *, idempotency_key: str | None = None) -> Job:
        with self._lock:
            entry = self._entries.get(job.id) or self._insert(job, idempotency_key)
            known = entry.job
            if not known.state.is_terminal or (known.state, job.state) == EXPIRY:
                entry.set(job, frames_done=max(known.frames_done, job.frames_done), at=self.now())
                self._note_hook(entry.job)
            return entry.job

    def get(self, job_id: str) -> Job:
        with self._lock:
            return self._entry(job_id).job

    def delete(self, job_id: str) -> None:
        with self._lock:
            entry = self._entries.pop(job_id, None)
            self._hooks.pop(job_id, None)
            if entry is not None and entry.idempotency_key is not None:
                del self._ids_by_key[entry.idempotency_key]

    def transition(self, job_id: str, event: JobEvent, *, lease: Lease | None = None, **changes: Any) -> Job:
        with self._lock:
            entry = self._entry(job_id)
            if lease is not None and self._held(lease) is None:
                raise Superseded(f"{job_id} {lease.step}")
            state = advance(entry.job.state, event)
            job = entry.move(entry.job.with_changes(**changes), state, at=self.now())
            self._note_hook(job)
            return job

    def add_notices(self, job_id: str, notices: Iterable[str]) -> None:
        with self._lock:
            entry = self._entry(job_id)
            report = entry.job.report or {}
            known = dict.fromkeys([*report.get("notices", []), *notices])
            entry.set(entry.job, report=report | {"notices": list(known)}, at=self.now())

    # Steps

    def set_segments(self, job_id: str, segments: Iterable[Segment]) -> bool:
        with self._lock:
            entry = self._entry(job_id)
            if entry.job.state not in RUNNABLE_IN[PLAN]:
                return False
            entry.lay_out(segments)
            return True

    def acquire(self, job_id: str, step: Step, owner: str) -> Lease | None:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or not entry.may_run(step):
                return None
            record = entry.steps[step]
            if self._is_held(record):
                return self._lease(job_id, step, record) if record.owner == owner else None
            if record.attempts >= self._attempts_max:
                raise too_many_attempts(step, record.attempts)
            record = entry.steps[step] = replace(
                record,
                fence=record.fence + 1,
                owner=owner,
                expires_at=self.now() + self._lease_s,
                attempts=record.attempts + 1,
                queued_at=None,
            )
            return self._lease(job_id, step, record)

    def renew(self, lease: Lease, *, frames_done: int = 0) -> bool:
        with self._lock:
            record = self._held(lease)
            if record is None or record.done or self._entries[lease.job_id].job.state.is_terminal:
                return False
            entry = self._entries[lease.job_id]
            entry.steps[lease.step] = replace(record, expires_at=self.now() + self._lease_s)
            entry.move_progress(lease.step, frames_done, at=self.now())
            return True

    def release(self, lease: Lease) -> None:
        with self._lock:
            record = self._held(lease)
            if record is not None and not record.done:
                self._entries[lease.job_id].steps[lease.step] = replace(
                    record, owner=None, expires_at=0.0, attempts=record.attempts - 1, queued_at=None
                )

    def finish(
        self,
        lease: Lease,
        *,
        part_key: str | None = None,
        state_key: str | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> bool:
        with self._lock:
            record = self._held(lease)
            if record is None:
                return False
            entry = self._entries[lease.job_id]
            if not record.done:
                outcome = {"part_key": part_key, "state_key": state_key, "seconds": dict(seconds or {})}
                entry.mark_done(lease.step, at=self.now(), **outcome)
            return True

    def steps(self, job_id: str) -> dict[Step, StepRecord]:
        with self._lock:
            entry = self._entries.get(job_id)
            return {} if entry is None else {step: entry.steps[step] for step in in_order(entry.steps)}

    def waiting(self, job_id: str) -> dict[Step, float | None]:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None:
                return {}
            runnable = (step for step in entry.steps if entry.may_run(step))
            steps = in_order(step for step in runnable if not self._is_held(entry.steps[step]))
            return {step: entry.steps[step].queued_at for step in steps}

    def mark_queued(self, job_id: str, step: Step) -> None:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is not None and step in entry.steps and not self._is_held(entry.steps[step]):
                entry.steps[step] = replace(entry.steps[step], queued_at=self.now())

    # The whole

    def active(self) -> list[str]:
        with self._lock:
            jobs = [entry.job for entry in self._entries.values() if not entry.job.state.is_terminal]
            return [job.id for job in sorted(jobs, key=lambda job: (job.created_at, job.id))]

    def finished_before(self, time_s: float) -> list[str]:
        with self._lock:
            jobs = [entry.job for entry in self._entries.values()]
            ended = [job for job in jobs if job.state.is_terminal and job.updated_at < time_s]
            return [job.id for job in sorted(ended, key=lambda job: job.updated_at)][:FINISHED_PAGE]

    def brief_before(self, time_s: float) -> list[str]:
        with self._lock:
            ended = (entry.job for entry in self._entries.values() if entry.job.state.is_terminal)
            ends = {job.id: job.updated_at + job.handling.ttl for job in ended if job.handling.ttl}
            return sorted((i for i in ends if ends[i] < time_s), key=ends.__getitem__)[:FINISHED_PAGE]

    def take_hooks(self, count: int, lease_s: float) -> list[DueHook]:
        with self._lock:
            now, lease_end = self.now(), self.now() + lease_s
            due = sorted((i for i in self._hooks if self._hooks[i] <= now), key=self._hooks.__getitem__)[
                :count
            ]
            self._hooks |= dict.fromkeys(due, lease_end)
            return [DueHook(job_id=job_id, lease_end=lease_end) for job_id in due]

    def settle_hook(self, hook: DueHook, due_at: float | None) -> bool:
        with self._lock:
            if self._hooks.get(hook.job_id) != hook.lease_end:
                return False
            del self._hooks[hook.job_id]
            self._hooks |= {} if due_at is None else {hook.job_id: due_at}
            return True

    def has_hook(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._hooks

    def queue_depth(self) -> int:
        return len(self.active())

    def counts(self) -> dict[JobState, int]:
        with self._lock:
            states = [entry.job.state for entry in self._entries.values()]
            return {state: states.count(state) for state in JobState}

    def is_complete(self) -> bool:
        return self._is_complete

    def mark_complete(self) -> None:
        self._is_complete = True

    def memory_used(self) -> float:
        return 0.0

    def ping(self) -> None:
        """Memory always answers."""

    def index_owner(self, job_id: str) -> None:
        """Here nothing is indexed."""

    def list(
        self, limit: int, cursor: str | None = None, *, owner: str | None = None
    ) -> tuple[list[Job], str | None]:
        with self._lock:
            jobs = (entry.job for entry in self._entries.values())
            of_owner = (job.id for job in jobs if owner is None or job.owner == owner)
            ids = sorted((i for i in of_owner if cursor is None or i < cursor), reverse=True)
            page = [self._entries[job_id].job for job_id in ids[:limit]]
            return page, page[-1].id if len(ids) > limit else None

    # Rules

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

    def _is_held(self, record: StepRecord) -> bool:
        return record.owner is not None and record.expires_at > self.now()

    def _lease(self, job_id: str, step: Step, record: StepRecord) -> Lease:
        return Lease(
            job_id=job_id,
            step=step,
            owner=record.owner or "",
            fence=record.fence,
            expires_at=record.expires_at,
            life_s=self._lease_s,
            attempt=record.attempts,
        )
