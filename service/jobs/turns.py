"""Turns: which job's step is next. Here for the store in memory; redis/lua/turns.lua does the same in Valkey.

- A job with a step that can begin, and that nobody holds, stands in one **ring**. The ring says who can do
  the step: a picture any worker, also with the stream that it keeps for pictures (worker/job/streams.py); a
  plan or an assembly any with another stream free; a segment those that have the runtime which the plan
  pinned.
- Work is counted in frames: a segment costs as many as it has, all else costs one. What an **owner** was
  given (a key; all are one where the service asks for none) is added up. Of the owners who stand in a
  worker's rings, the one with the least comes first, so each gets as much as any other.
- Of an owner's jobs the one with the smallest **ticket** comes first: what the owner had been given when the
  job got in line, and what its next step costs. So a picture goes before a film's next segment, that segment
  goes before pictures that come later than so many frames, and films take turns. Nothing waits for ever, as
  tickets only grow.
- After each step that is begun, its job goes to the end with a new ticket, if it has more.
- Samples and estimates go first, the oldest before the others, whoever's they are, and are not added up:
  quotas bound their number (quotas.py). All but a sample's segments any worker can do, also with the stream
  that is kept for pictures.
- An owner with nothing in line saves nothing up: with the next job it is put level with the owner who was
  served last. Pictures that go by the stream kept for them are counted, but do not move the level.
- Who has a runtime is told by `announce`. When nobody who has it was heard of for ABSENT_S, any other worker
  may take its segments, and the job goes on in another one (worker/job/steps/pinned.py).

Not here: what can begin (store.py), when a worker asks (worker/job/runner.py).
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from service.jobs.model import Job
from service.jobs.steps import ABSENT_S, ANY, FIRST, SMALL, Ring, Runtime, Step, kind_of

_Place = tuple[int, str, int, str]  # spent, owner, ticket, job: the smallest is next


@dataclass(frozen=True, slots=True)
class Standing:
    ring: Ring
    ticket: int
    since: float


def ring_of(job: Job, step: Step, runtime: Runtime | None) -> Ring:
    if job.kind == "image" or (job.purpose != "upscale" and kind_of(step) != "segment"):
        return SMALL
    return runtime or ANY if kind_of(step) == "segment" else ANY


@dataclass(slots=True)
class Turns:
    spent: dict[str, int] = field(default_factory=dict)  # by owner, in frames
    level: int = 0
    standing: dict[str, Standing] = field(default_factory=dict)  # by job
    owners: dict[str, str] = field(default_factory=dict)  # of the jobs that stand
    heard: dict[Runtime, float] = field(default_factory=dict)

    def stand(self, job: Job, step: Step | None, runtime: Runtime | None, *, cost: int, at: float) -> None:
        """Give the job the place that its first step asks for; one that has a place in that ring keeps it."""
        if step is None:
            return self.leave(job.id)
        ring, owner = ring_of(job, step, runtime), owner_of(job)
        known = self.standing.get(job.id)
        if known is not None and known.ring == ring:
            return None
        self.leave(job.id)
        if owner != FIRST and owner not in self.owners.values():
            self.spent[owner] = max(self.spent.get(owner, 0), self.level)
        ticket = 0 if owner == FIRST else self.spent.get(owner, 0) + cost
        self.standing[job.id] = Standing(ring, ticket, at)
        self.owners[job.id] = owner
        if ring not in (SMALL, ANY):
            self.heard.setdefault(ring, at)
        return None

    def leave(self, job_id: str) -> None:
        self.standing.pop(job_id, None)
        self.owners.pop(job_id, None)

    def charge(self, job: Job, cost: int) -> None:
        owner = owner_of(job)
        if owner != FIRST:
            self.spent[owner] = self.spent.get(owner, 0) + cost

    def next(self, runtimes: Collection[Runtime] | None, *, at: float) -> str | None:
        """Whose turn it is with a worker that has these runtimes; None: one that takes pictures only."""
        places = [
            self._place(job_id, standing)
            for job_id, standing in self.standing.items()
            if self._is_within(standing.ring, runtimes, at)
        ]
        return min(places)[-1] if places else None

    def serve(self, job_id: str) -> None:
        """Note that a stream which takes anything serves this job."""
        self.level = max(self.level, self.spent.get(self.owners[job_id], 0))

    def is_absent(self, runtime: Runtime, at: float) -> bool:
        return self.heard.get(runtime, at) < at - ABSENT_S

    def _is_within(self, ring: Ring, runtimes: Collection[Runtime] | None, at: float) -> bool:
        if ring == SMALL or runtimes is None:
            return ring == SMALL
        return ring == ANY or ring in runtimes or self.is_absent(ring, at)

    def _place(self, job_id: str, standing: Standing) -> _Place:
        owner = self.owners[job_id]
        return (-1 if owner == FIRST else self.spent.get(owner, 0)), owner, standing.ticket, job_id


def owner_of(job: Job) -> str:
    """As JSON, which the store in Valkey has and goes by where two were given the same; or FIRST."""
    return json.dumps(job.owner) if job.purpose == "upscale" else FIRST
