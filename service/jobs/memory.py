"""JobStore in the memory of one process: for tests and for reading, as it states the rules in plain Python.

The contract suite holds it and redis.py to the same behaviour; store.py tells the rules, memory_entry.py has
those of one job.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from threading import RLock
from typing import Any

from service.jobs.manifest import Segment
from service.jobs.memory_entry import Entry
from service.jobs.memory_quotas import Ledger
from service.jobs.model import Job
from service.jobs.pace import KEPT, Measured
from service.jobs.quotas import COUNTED, UNLIMITED, Amounts, Drawn, Quota, asked_of_a_job
from service.jobs.states import EXPIRY, JobEvent, JobState, advance
from service.jobs.store import (
    ALIVE_S,
    ASSEMBLE,
    CLAIM_S,
    FINISHED_PAGE,
    FIRST_IN_LINE,
    PLAN,
    RUNNABLE_IN,
    DueHook,
    FinishedPart,
    Lease,
    Line,
    Runtime,
    Step,
    StepRecord,
    Superseded,
    in_order,
    key_conflict,
    kind_of,
    segment_step,
    too_many_attempts,
    unknown_job,
)
from service.jobs.turns import Turns


class MemoryStore:
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

    # Jobs

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

    # Steps

    def set_segments(self, job_id: str, segments: Iterable[Segment], runtime: Runtime | None = None) -> bool:
        with self._lock:
            entry = self._entry(job_id)
            if entry.job.state not in RUNNABLE_IN[PLAN]:
                return False
            entry.lay_out(segments)
            entry.runtime = runtime or entry.runtime
            return True

    def take(
        self, owner: str, runtimes: Collection[Runtime] | None, *, told: tuple[str, Step] | None = None
    ) -> Lease | None:
        with self._lock:
            for entry in self._entries.values():
                for step, record in entry.steps.items():
                    if record.owner == owner:
                        return None if record.done else self._lease(entry.job.id, step, record)
            named = None if told is None else self._entries.get(told[0])
            if told is not None and named is not None and named.can_begin(told[1], self.now()):
                named.line.add(told[1])
                self._stand(named)
            while (job_id := self._turns.next(runtimes, at=self.now())) is not None:
                entry = self._entries[job_id]
                first = entry.first_in_line()
                assert first is not None, "what stands has a line"
                if entry.can_begin(first, self.now()):
                    if runtimes is not None:
                        self._turns.serve(job_id)
                    return self._begin(entry, first, owner)
                entry.line.discard(first)  # its holder was late, and has it again
                self._stand(entry)
            return None

    def acquire(
        self, job_id: str, step: Step, owner: str, *, unless_next: Collection[Runtime] | None = None
    ) -> Lease | None:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or not entry.may_run(step):
                return None
            record = entry.steps[step]
            if record.is_held(self.now()):
                return self._lease(job_id, step, record) if record.owner == owner else None
            if unless_next is not None and self._turns.next(unless_next, at=self.now()) not in (None, job_id):
                return None
            if record.attempts >= self._attempts_max:
                raise too_many_attempts(step, record.attempts)
            return self._begin(entry, step, owner)

    def renew(self, lease: Lease, *, frames_done: int = 0) -> bool:
        with self._lock:
            record = self._held(lease)
            if record is None or record.done or self._entries[lease.job_id].job.state.is_terminal:
                return False
            entry = self._entries[lease.job_id]
            entry.steps[lease.step] = replace(record, expires_at=self.now() + self._lease_s)
            entry.move_progress(lease.step, frames_done, at=self.now())
            return True

    def release(self, lease: Lease, *, only_for: Runtime | None = None) -> None:
        with self._lock:
            record = self._held(lease)
            if record is None or record.done:
                return
            entry = self._entries[lease.job_id]
            entry.steps[lease.step] = replace(
                record, owner=None, expires_at=0.0, attempts=record.attempts - 1
            )
            entry.runtime = only_for or entry.runtime
            if entry.may_run(lease.step):
                entry.line.add(lease.step)
            self._stand(entry)

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
                self._stand(entry)
            return True

    def steps(self, job_id: str) -> dict[Step, StepRecord]:
        with self._lock:
            entry = self._entries.get(job_id)
            return {} if entry is None else {step: entry.steps[step] for step in in_order(entry.steps)}

    def waiting(self, job_id: str) -> list[Step]:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None:
                return []
            return in_order(step for step in entry.steps if entry.can_begin(step, self.now()))

    def line_up(self, job_id: str) -> Line | None:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None:
                return None
            added = self._line_up(entry)
            steps = in_order(entry.line)
            standing = self._turns.standing.get(job_id)
            return Line(
                kind=entry.job.kind,
                since=None if standing is None else standing.since,
                counts={kind: [kind_of(step) for step in steps].count(kind) for kind in RUNNABLE_IN},
                first=tuple(steps[:FIRST_IN_LINE]),
                added=added,
            )

    def announce(self, runtimes: Collection[Runtime], worker: str | None = None) -> None:
        with self._lock:
            if worker is not None:
                self._workers[worker] = self.now()
            self._turns.heard.update(dict.fromkeys(runtimes, self.now()))

    def worker_count(self) -> int:
        with self._lock:
            return sum(heard >= self.now() - ALIVE_S for heard in self._workers.values())

    def note_pace(self, name: str, measured: Measured) -> None:
        with self._lock:
            others = [each for each in self._paces.get(name, []) if each != measured]
            self._paces[name] = [*others, measured][-KEPT:]

    def paces(self, name: str) -> "list[Measured]":
        with self._lock:
            return list(self._paces.get(name, []))

    def is_served(self, runtime: Runtime) -> bool:
        with self._lock:
            return not self._turns.is_absent(runtime, self.now())

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

    def positions(self, job_ids: "list[str]") -> dict[str, int]:
        with self._lock:
            jobs = (entry.job for entry in self._entries.values())
            waiting = sorted((job.created_at, job.id) for job in jobs if job.state is JobState.QUEUED)
            places = {job_id: place for place, (_, job_id) in enumerate(waiting)}
            return {job_id: places[job_id] for job_id in job_ids if job_id in places}

    def queue_depth(self) -> int:
        return len(self.active())

    def counts(self) -> dict[JobState, int]:
        with self._lock:
            states = [entry.job.state for entry in self._entries.values()]
            return {state: states.count(state) for state in JobState}

    def is_complete(self) -> bool:
        return self._is_complete

    def epoch(self) -> str:
        return ""

    def mark_complete(self, epoch: str) -> None:
        assert epoch == self.epoch()
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

    # What owners used

    def admit(self, owner: str, quota: Quota, asked: Amounts, *, unless_key: str | None = None) -> None:
        with self._lock:
            if unless_key in self._ids_by_key:
                return
            jobs = [entry.job for entry in self._entries.values() if entry.job.owner == owner]
            open_jobs = sum(not job.state.is_terminal and job.purpose != "sample" for job in jobs)
            self._ledger.admit(owner, quota, asked, open_jobs=open_jobs)

    def take_in(self, upload_id: str, owner: str, quota: Quota, bytes_in: int) -> None:
        with self._lock:
            if upload_id in self._ledger.counted:
                return
            self.admit(owner, quota, {"bytes_per_day": bytes_in})
            self._ledger.count(upload_id, owner, {"bytes_per_day": bytes_in})

    def charge(self, job_id: str, megapixels: float) -> None:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or entry.job.owner is None or entry.is_charged:
                return
            self.admit(entry.job.owner, entry.quota, {"megapixels_per_day": megapixels})
            self._ledger.count(f"{job_id} planned", entry.job.owner, {"megapixels_per_day": megapixels})
            entry.is_charged = True

    def draw_requests(self, owner: str, limit: int, count: int) -> Drawn:
        with self._lock:
            return self._ledger.draw(owner, limit, count)

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

    def _begin(self, entry: Entry, step: Step, owner: str) -> Lease:
        """A lease of a step that nobody holds; its job goes to the end of the line."""
        before = entry.steps[step]
        record = entry.steps[step] = replace(
            before,
            fence=before.fence + 1,
            owner=owner,
            expires_at=self.now() + self._lease_s,
            attempts=before.attempts + 1,
        )
        entry.line.discard(step)
        self._turns.leave(entry.job.id)
        self._turns.charge(entry.job, entry.cost_of(step))
        self._stand(entry)
        return self._lease(entry.job.id, step, record)

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
