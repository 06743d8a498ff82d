"""Steps of a job: what they are called, who may run them, and the part of a job store that hands them out.

store.py tells the rules.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from service.errors import TooManyAttempts
from service.formats import MediaKind
from service.jobs.manifest import Segment
from service.jobs.states import TERMINAL, JobState

Step = str  # "plan" | "segment/<n>" | "assemble"
PLAN: Step = "plan"
ASSEMBLE: Step = "assemble"
_SEGMENT = "segment/"

Runtime = str  # backend and number format, as Plan.runtime names them
Ring = str  # where jobs wait that the same workers can do: SMALL, ANY, or a runtime
SMALL: Ring = "small"
ANY: Ring = "any"
FIRST = "first"  # in place of an owner: of samples and estimates
ALIVE_S = 30.0  # a worker announces itself every five
ABSENT_S = 180.0  # without a word of a worker that has a runtime: a restart takes less
FIRST_IN_LINE = 8  # so many steps are named of a job's line: as many as one sweep wakes threads for


RUNNABLE_IN: Mapping[str, frozenset[JobState]] = {
    "plan": frozenset({JobState.QUEUED, JobState.PLANNING}),
    "segment": frozenset({JobState.RUNNING}),
    "assemble": frozenset({JobState.RUNNING, JobState.ASSEMBLING}),
}
UNFINISHED = frozenset(JobState) - TERMINAL


def runnable_in(step: Step, kind: MediaKind) -> frozenset[JobState]:
    """The states in which a job of that kind may have the step run."""
    return UNFINISHED if step == PLAN and kind == "image" else RUNNABLE_IN[kind_of(step)]


def segment_step(index: int) -> Step:
    return f"{_SEGMENT}{index}"


def segment_index(step: Step) -> int | None:
    """The segment's number; None for plan and assemble."""
    return int(step.removeprefix(_SEGMENT)) if step.startswith(_SEGMENT) else None


def kind_of(step: Step) -> str:
    """plan, segment or assemble."""
    return step.split("/", 1)[0]


def rank(step: Step) -> tuple[int, int]:
    """Plan first, segments as their frames follow, assemble last."""
    return list(RUNNABLE_IN).index(kind_of(step)), segment_index(step) or 0


def in_order(steps: Iterable[Step]) -> list[Step]:
    return sorted(steps, key=rank)


def too_many_attempts(step: Step, attempts: int) -> TooManyAttempts:
    return TooManyAttempts(f"{step} was begun {attempts} times and never ended.", field="step", value=step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to run one step until `expires_at` (the store's clock), unless a newer fence exists."""

    job_id: str
    step: Step
    owner: str
    fence: int
    expires_at: float
    life_s: float  # from then on, or from a renewal, by the holder's own clock
    attempt: int  # 1 the first time


class Superseded(Exception):
    """Someone took the step over, so its former holder may move nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    fence: int = 0
    owner: str | None = None  # who holds or held it last; None after a release
    expires_at: float = 0.0
    attempts: int = 0
    done: bool = False
    part_key: str | None = None
    state_key: str | None = None
    frames_done: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage, of the attempt that ended it

    def is_held(self, at: float) -> bool:
        return self.owner is not None and self.expires_at > at


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The steps of one job that stand in line: that could begin, and that nobody holds."""

    kind: MediaKind
    since: float | None  # when the job got in line, or last had its turn; None where no step stands there
    counts: Mapping[str, int]  # by kind of step
    first: tuple[Step, ...]  # at most FIRST_IN_LINE
    added: int  # that were missing


class StepStore(Protocol):
    """The part of a job store that knows steps. Every method raises StoreUnavailable."""

    def set_segments(self, job_id: str, segments: Iterable[Segment], runtime: Runtime | None = None) -> bool:
        """Store what the plan cut, and in which runtime it is to be run.

        False when the job is past planning, so another worker's plan stands.
        """

    def take(
        self, owner: str, runtimes: Collection[Runtime] | None, *, told: tuple[str, Step] | None = None
    ) -> Lease | None:
        """The step whose turn it is, or None when there is none for this worker.

        owner      new for every call: asked again by the holder, it answers with the lease that it holds
        runtimes   those that the worker has; None: it takes nothing but pictures now
        told       the job and step that a message named; it is put in line where that was missed

        The lease of a step that was begun attempts_max times before says so by its attempt.
        """

    def acquire(
        self, job_id: str, step: Step, owner: str, *, unless_next: Collection[Runtime] | None = None
    ) -> Lease | None:
        """Take just this step, or None: held, done, not runnable, job finished or unknown.

        owner         as with `take`
        unless_next   also None when another job has the next turn with a worker of these runtimes

        Raises TooManyAttempts when the step was begun attempts_max times.
        """

    def renew(self, lease: Lease, *, frames_done: int = 0) -> bool:
        """Keep the lease, report progress; False means stop: superseded, given back, or the job has ended."""

    def release(self, lease: Lease, *, only_for: Runtime | None = None) -> None:
        """Give the lease back: the attempt does not count and the step is in line again at once.

        only_for   what the job's plan pins, where the store was not told
        """

    def finish(
        self,
        lease: Lease,
        *,
        part_key: str | None = None,
        state_key: str | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> bool:
        """Mark the step done; False when the lease is not the newest, or the job has ended.

        Asked twice by the same holder it says True twice, unless the job has ended since.
        """

    def steps(self, job_id: str) -> dict[Step, StepRecord]:
        """Every step the job has had so far; empty for an unknown job and for one that has ended."""

    def waiting(self, job_id: str) -> list[Step]:
        """What `acquire` would hand out, or fail with TooManyAttempts."""

    def line_up(self, job_id: str) -> Line | None:
        """Put in line what is missing there, such as steps whose leases ran out; None for an unknown job."""

    def announce(self, runtimes: Collection[Runtime], worker: str | None = None) -> None:
        """Note that a worker which has these is alive."""

    def worker_count(self) -> int:
        """How many announced themselves within ALIVE_S."""

    def is_served(self, runtime: Runtime) -> bool:
        """Whether a worker that has it may be alive: False when none was heard of for ABSENT_S."""
