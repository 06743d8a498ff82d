"""One job of the store in memory: its steps, which of them may run, and what moves them on. See store.py."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.quotas import UNLIMITED, Quota
from service.jobs.states import JobState
from service.jobs.steps import (
    ASSEMBLE,
    PLAN,
    Runtime,
    Step,
    StepRecord,
    rank,
    runnable_in,
    segment_index,
    segment_step,
)


@dataclass
class Entry:
    job: Job
    unbegun: StepRecord  # of a step that no worker has had; its fence is the floor of all later ones
    steps: dict[Step, StepRecord]
    segments: dict[int, Segment] = field(default_factory=dict)
    idempotency_key: str | None = None
    line: set[Step] = field(default_factory=set)  # what stands in line
    runtime: Runtime | None = None  # that its segments are to run in
    quota: Quota = UNLIMITED  # of its owner
    is_charged: bool = False

    def set(self, job: Job, *, at: float, **kept: Any) -> Job:
        self.job = job.model_copy(update={"updated_at": at, **kept})
        if self.job.state.is_terminal:
            self.steps, self.segments, self.line = {}, {}, set()
        return self.job

    def move(self, job: Job, state: JobState, *, at: float) -> Job:
        return self.set(job.moved(state, at=at), at=at)

    def first_in_line(self) -> Step | None:
        return min(self.line, key=rank, default=None)

    def cost_of(self, step: Step) -> int:
        """In frames; see turns.py."""
        index = segment_index(step)
        return 1 if index is None else self.segments[index].frame_count

    def line_up(self, at: float) -> int:
        """Put in line all that can begin and that nobody holds; returns how many were missing there."""
        missing = {step for step in self.steps if self.can_begin(step, at)} - self.line
        self.line |= missing
        return len(missing)

    def can_begin(self, step: Step, at: float) -> bool:
        return self.may_run(step) and not self.steps[step].is_held(at)

    def may_run(self, step: Step) -> bool:
        """Runnable but for a lease."""
        record = self.steps.get(step)
        if record is None or record.done or self.job.state not in runnable_in(step, self.job.kind):
            return False
        if step == ASSEMBLE:
            return bool(self.segments) and all(self.steps[segment_step(n)].done for n in self.segments)
        index = segment_index(step)
        follows = None if index is None else self.segments[index].follows
        return follows is None or self.steps[segment_step(follows)].done

    def lay_out(self, segments: Iterable[Segment]) -> None:
        self.segments = {segment.index: segment for segment in segments}
        fixed = {step: self.steps[step] for step in (PLAN, ASSEMBLE)}
        self.steps = fixed | {segment_step(index): self.unbegun for index in self.segments}

    def mark_done(self, step: Step, *, at: float, **outcome: Any) -> None:
        index = segment_index(step)
        if index is not None:
            self.move_progress(step, self.segments[index].frame_count, at=at)
        self.steps[step] = replace(self.steps[step], done=True, **outcome)
        self.line.discard(step)
        followers = (
            segment_step(n)
            for n, segment in self.segments.items()
            if index is not None and segment.follows == index
        )
        self.line |= {follower for follower in (*followers, ASSEMBLE) if self.can_begin(follower, at)}

    def move_progress(self, step: Step, frames_done: int, *, at: float) -> None:
        """A step that begins anew counts from zero, so only what exceeds its best so far is progress."""
        index = segment_index(step)
        if index is not None:
            frame_count = self.segments[index].frame_count
        elif step == PLAN and self.job.kind == "image":
            frame_count = 1
        else:
            return
        record = self.steps[step]
        frames_done = min(max(frames_done, record.frames_done), frame_count)
        gained = frames_done - record.frames_done
        self.steps[step] = replace(record, frames_done=frames_done)
        self.set(self.job, at=at, frames_done=self.job.frames_done + gained)
