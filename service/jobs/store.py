"""JobStore: the fast index of jobs, and who works on what. Two backends: redis.py, and memory.py for tests.

The rules both keep (tests/service/jobs/test_store_contract.py):

- A step is `plan`, `segment/<n>` or `assemble`. It runs only under a lease, taken when the step is runnable:
  plan while the job is queued or planning; a segment while it is running and its predecessor is done;
  assemble when every segment is done. A picture's plan goes on to the end (worker/job/picture.py), so it can
  run, and run again, until the job has ended.
- Each lease has a fence larger than any before it. Only the newest fence renews, releases, finishes, or moves
  the job's state.
- Which of all steps is next is told by turns.py; a worker asks for it and gets it under a lease in one move.
- Time is the store's own, so hosts whose clocks differ agree on when a lease is over.
- Every method raises StoreUnavailable when the store does not answer.
- Whatever is asked twice, because an answer got lost on its way, answers and leaves the same as asked once.

The order for a worker: `transition` first, `finish` second. A crash between them leaves a job whose step can
no longer run because its state moved on, never a job that waits for a step that is already done.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.errors import IdempotencyConflict, TooManyAttempts, UnknownJob
from service.formats import MediaKind
from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.pace import Measured
from service.jobs.quotas import UNLIMITED, Quota, UsageStore
from service.jobs.states import TERMINAL, JobEvent, JobState

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
CLAIM_S = 3600.0  # of a key: by then housekeeping has found the manifest of whoever died meanwhile
FIRST_IN_LINE = 8  # so many steps are named of a job's line: as many as one sweep wakes threads for

FINISHED_PAGE = 1000  # ids of one answer of `finished_before`; the next sweep asks for more

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


# What both backends say in the same words.


def unknown_job(job_id: str) -> UnknownJob:
    return UnknownJob("There is no such job.", field="id", value=job_id)


def key_conflict(key: str | None) -> IdempotencyConflict:
    return IdempotencyConflict("This key was used for another request.", field="Idempotency-Key", value=key)


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
class FinishedPart:
    """A segment that storage shows to be done, for `restore`."""

    fence: int
    part_key: str
    state_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueHook:
    """A job that ended and whose receiver is to be told, ours until `lease_end` (the store's clock)."""

    job_id: str
    lease_end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The steps of one job that stand in line: that could begin, and that nobody holds."""

    kind: MediaKind
    since: float | None  # when the job got in line, or last had its turn; None where no step stands there
    counts: Mapping[str, int]  # by kind of step
    first: tuple[Step, ...]  # at most FIRST_IN_LINE
    added: int  # that were missing


class JobStore(UsageStore, Protocol):
    def create(
        self,
        job: Job,
        *,
        idempotency_key: str | None = None,
        quota: Quota = UNLIMITED,
        bytes_in: int = 0,
    ) -> Job:
        """Store a new job and return it, or the job that this key made before.

        quota      what the job's owner may use, of which this takes a job and so many bytes

        Raises IdempotencyConflict when that one asked for something else, LimitReached when the quota has not
        so much left. A key lives as long as its job.
        """

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
        """Put a job back from its manifest; False when the store knows it. New fences exceed the floor."""

    def conclude(self, job: Job, *, idempotency_key: str | None = None) -> Job:
        """Make a job what its manifest says that it ended as, whatever it was; return it as it stands now.

        A job that had ended stays as it is, unless its result expired since; an unknown one is put back.
        """

    def claim(self, idempotency_key: str, job_id: str, *, instead_of: str | None = None) -> str:
        """Whose the key is while a job is being made by it: that job's, or the one's that claimed it before.

        instead_of   the one that is known to be given up
        A claim lasts CLAIM_S, and until the store loses what it has.
        """

    def get(self, job_id: str) -> Job:
        """Raises UnknownJob."""

    def delete(self, job_id: str) -> None:
        """Forget the job and its idempotency key; nothing happens when there is none."""

    def transition(self, job_id: str, event: JobEvent, *, lease: Lease | None = None, **changes: Any) -> Job:
        """Move the state and set other fields in one stroke, given a lease only while that is the newest.

        Raises UnknownJob, IllegalTransition, Superseded.
        """

    def add_notices(self, job_id: str, notices: Iterable[str]) -> None:
        """Add what is new to `notices` in the report. Raises UnknownJob."""

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

    def note_pace(self, name: str, measured: Measured) -> None:
        """Keep what a job took, of the latest KEPT under that name (pace.py)."""

    def paces(self, name: str) -> "list[Measured]":
        """Those that are kept."""

    def is_served(self, runtime: Runtime) -> bool:
        """Whether a worker that has it may be alive: False when none was heard of for ABSENT_S."""

    def active(self) -> list[str]:
        """Ids of jobs that have not ended, oldest first."""

    def finished_before(self, time_s: float) -> list[str]:
        """Ids of jobs that ended before then, longest ago first, at most FINISHED_PAGE."""

    def brief_before(self, time_s: float) -> list[str]:
        """Ids of jobs that ended and whose own time to live ended before then, as `finished_before`."""

    def take_hooks(self, count: int, lease_s: float) -> list[DueHook]:
        """So many jobs whose receivers are to be told now, longest due first; nobody else has them until the
        lease is over. A job is due whenever it ends, expires, or is put back after that."""

    def settle_hook(self, hook: DueHook, due_at: float | None) -> bool:
        """Have it due again then, or no more; False where the lease is over or more became due under it."""

    def has_hook(self, job_id: str) -> bool:
        """Whether its receiver is still to be told, now or later."""

    def positions(self, job_ids: "list[str]") -> dict[str, int]:
        """How many jobs came before each and are, as it is, only queued; without those that are not."""

    def queue_depth(self) -> int:
        """How many jobs have not ended."""

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state, zero included."""

    def now(self) -> float:
        """The store's clock, seconds since 1970."""

    def is_complete(self) -> bool:
        """False when the store may lack jobs that have a manifest: it is new, or it lost what it had."""

    def epoch(self) -> str:
        """A text that stays the same until the store loses what it has."""

    def mark_complete(self, epoch: str) -> None:
        """Note that every manifest is in the store; nothing happens when it lost what it had since then."""

    def memory_used(self) -> float:
        """Share of the store's memory that is taken; 0 where there is no limit.

        A full store takes no new work, but lets what is there go on and end.
        """

    def ping(self) -> None:
        """Return when the store takes a write."""

    def index_owner(self, job_id: str) -> None:
        """Have the job in its owner's lists, where an earlier version stored it without."""

    # Last, because below it `list` would name this method instead of the type.
    def list(
        self, limit: int, cursor: str | None = None, *, owner: str | None = None
    ) -> tuple[list[Job], str | None]:
        """Newest first, of one owner or of all; the cursor of the next page, or None after the last.

        A cursor is any id: the page begins with the one before it.
        """
