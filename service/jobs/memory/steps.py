"""Steps, in memory: service/jobs/steps.py tells what each method does."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from service.jobs.manifest import Segment
from service.jobs.memory.entry import Entry
from service.jobs.memory.state import MemoryState
from service.jobs.steps import (
    ALIVE_S,
    FIRST_IN_LINE,
    PLAN,
    RUNNABLE_IN,
    Lease,
    Line,
    Runtime,
    Step,
    StepRecord,
    in_order,
    kind_of,
    too_many_attempts,
)


class MemorySteps(MemoryState):
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

    def is_served(self, runtime: Runtime) -> bool:
        with self._lock:
            return not self._turns.is_absent(runtime, self.now())

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
