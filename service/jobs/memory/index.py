"""All jobs, in memory: service/jobs/index.py tells what each method does."""

from service.jobs.index import FINISHED_PAGE, DueHook, Placed
from service.jobs.memory.state import MemoryState
from service.jobs.model import Job
from service.jobs.pace import KEPT, Measured
from service.jobs.states import JobState


class MemoryIndex(MemoryState):
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

    def look(self, job_ids: "list[str]") -> dict[str, Placed]:
        with self._lock:
            places = self.positions(job_ids)
            known = [job_id for job_id in job_ids if job_id in self._entries]
            return {job_id: Placed(self._entries[job_id].job, places.get(job_id)) for job_id in known}

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

    def note_pace(self, name: str, measured: Measured) -> None:
        with self._lock:
            others = [each for each in self._paces.get(name, []) if each != measured]
            self._paces[name] = [*others, measured][-KEPT:]

    def paces(self, name: str) -> "list[Measured]":
        with self._lock:
            return list(self._paces.get(name, []))

    def list(
        self, limit: int, cursor: str | None = None, *, owner: str | None = None
    ) -> tuple[list[Job], str | None]:
        with self._lock:
            jobs = (entry.job for entry in self._entries.values())
            of_owner = (job.id for job in jobs if owner is None or job.owner == owner)
            ids = sorted((i for i in of_owner if cursor is None or i < cursor), reverse=True)
            page = [self._entries[job_id].job for job_id in ids[:limit]]
            return page, page[-1].id if len(ids) > limit else None
