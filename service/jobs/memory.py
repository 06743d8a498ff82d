"""JobStore in the memory of one process: for tests and for reading, as it states the rules in plain Python.

The contract suite holds it and redis.py to the same behaviour; store.py tells the rules.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any

from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.states import WITHOUT_RESULT, JobEvent, JobState, advance
from service.jobs.store import (
    ASSEMBLE,
    FINISHED_PAGE,
    PLAN,
    RUNNABLE_IN,
    FinishedPart,
    Lease,
    Step,
    StepRecord,
    in_order,
    key_conflict,
    runnable_in,
    segment_index,
    segment_step,
    too_many_attempts,
    unknown_job,
)


@dataclass
class _Entry:
    job: Job
    unbegun: StepRecord  # of a step that no worker has had; its fence is the floor of all later ones
    steps: dict[Step, StepRecord]
    segments: dict[int, Segment] = field(default_factory=dict)
    idempotency_key: str | None = None


class MemoryStore:
    def __init__(self, *, lease_s: float, attempts_max: int, clock: Callable[[], float] = time.time) -> None:
        self.now = clock
        self._lease_s = lease_s
        self._attempts_max = attempts_max
        self._entries: dict[str, _Entry] = {}
        self._ids_by_key: dict[str, str] = {}
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
            self._lay_out(entry, segments)
            for index, part in (parts or {}).items():
                self._mark_done(entry, segment_step(index), part_key=part.part_key, state_key=part.state_key)
            return True

    def get(self, job_id: str) -> Job:
        with self._lock:
            return self._entry(job_id).job

    def delete(self, job_id: str) -> None:
        with self._lock:
            entry = self._entries.pop(job_id, None)
            if entry is not None and entry.idempotency_key is not None:
                del self._ids_by_key[entry.idempotency_key]

    def transition(self, job_id: str, event: JobEvent, **changes: Any) -> Job:
        with self._lock:
            entry = self._entry(job_id)
            state = advance(entry.job.state, event)
            return self._set(entry, entry.job.with_changes(**changes), state=state)

    def update(self, job_id: str, **changes: Any) -> Job:
        with self._lock:
            entry = self._entry(job_id)
            return self._set(entry, entry.job.with_changes(**changes))

    # Steps

    def set_segments(self, job_id: str, segments: Iterable[Segment]) -> bool:
        with self._lock:
            entry = self._entry(job_id)
            if entry.job.state not in RUNNABLE_IN[PLAN]:
                return False
            self._lay_out(entry, segments)
            return True

    def acquire(self, job_id: str, step: Step, owner: str) -> Lease | None:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or not self._may_run(entry, step):
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
            self._move_progress(entry, lease.step, frames_done)
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
                if entry.job.state in WITHOUT_RESULT:
                    return False
                outcome = {"part_key": part_key, "state_key": state_key, "seconds": dict(seconds or {})}
                self._mark_done(entry, lease.step, **outcome)
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
            runnable = (step for step in entry.steps if self._may_run(entry, step))
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

    def ping(self) -> None:
        """Memory always answers."""

    def list(self, limit: int, cursor: str | None = None) -> tuple[list[Job], str | None]:
        with self._lock:
            ids = sorted((i for i in self._entries if cursor is None or i < cursor), reverse=True)
            page = [self._entries[job_id].job for job_id in ids[:limit]]
            return page, page[-1].id if len(ids) > limit else None

    # Rules

    def _entry(self, job_id: str) -> _Entry:
        if job_id not in self._entries:
            raise unknown_job(job_id)
        return self._entries[job_id]

    def _insert(self, job: Job, idempotency_key: str | None, fence_floor: int = 0) -> _Entry:
        unbegun = StepRecord(fence=fence_floor)
        new = _Entry(job, unbegun, steps={PLAN: unbegun, ASSEMBLE: unbegun})
        entry = self._entries.setdefault(job.id, new)
        # A key belongs to the job that came first, also when a later one's manifest is found.
        if idempotency_key is not None and idempotency_key not in self._ids_by_key:
            entry.idempotency_key = idempotency_key
            self._ids_by_key[idempotency_key] = job.id
        return entry

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
        owner, fence, expires_at = record.owner or "", record.fence, record.expires_at
        return Lease(
            job_id=job_id, step=step, owner=owner, fence=fence, expires_at=expires_at, attempt=record.attempts
        )

    def _may_run(self, entry: _Entry, step: Step) -> bool:
        """Runnable but for a lease."""
        record = entry.steps.get(step)
        if record is None or record.done or entry.job.state not in runnable_in(step, entry.job.kind):
            return False
        if step == ASSEMBLE:
            return bool(entry.segments) and all(
                entry.steps[segment_step(index)].done for index in entry.segments
            )
        index = segment_index(step)
        follows = None if index is None else entry.segments[index].follows
        return follows is None or entry.steps[segment_step(follows)].done

    def _set(self, entry: _Entry, job: Job, **kept: Any) -> Job:
        entry.job = job.model_copy(update={"updated_at": self.now(), **kept})
        return entry.job

    def _lay_out(self, entry: _Entry, segments: Iterable[Segment]) -> None:
        entry.segments = {segment.index: segment for segment in segments}
        fixed = {step: entry.steps[step] for step in (PLAN, ASSEMBLE)}
        entry.steps = fixed | {segment_step(index): entry.unbegun for index in entry.segments}

    def _mark_done(self, entry: _Entry, step: Step, **outcome: Any) -> None:
        index = segment_index(step)
        if index is not None:
            self._move_progress(entry, step, entry.segments[index].frame_count)
        entry.steps[step] = replace(entry.steps[step], done=True, queued_at=None, **outcome)

    def _move_progress(self, entry: _Entry, step: Step, frames_done: int) -> None:
        """A step that begins anew counts from zero, so only what exceeds its best so far is progress."""
        index = segment_index(step)
        if index is not None:
            frame_count = entry.segments[index].frame_count
        elif step == PLAN and entry.job.kind == "image":
            frame_count = 1
        else:
            return
        record = entry.steps[step]
        frames_done = min(max(frames_done, record.frames_done), frame_count)
        gained = frames_done - record.frames_done
        entry.steps[step] = replace(record, frames_done=frames_done)
        self._set(entry, entry.job, frames_done=entry.job.frames_done + gained)
