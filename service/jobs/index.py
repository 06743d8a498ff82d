"""Index: the part of a job store that is about all jobs, and about the store itself."""

from dataclasses import dataclass
from typing import Protocol

from service.jobs.model import Job
from service.jobs.pace import Measured
from service.jobs.states import JobState

FINISHED_PAGE = 1000  # ids of one answer of `finished_before`; the next sweep asks for more


@dataclass(frozen=True, slots=True, kw_only=True)
class DueHook:
    """A job that ended and whose receiver is to be told, ours until `lease_end` (the store's clock)."""

    job_id: str
    lease_end: float


@dataclass(frozen=True, slots=True)
class Placed:
    """A job, and how many came before it that are, as it is, only queued; None where it is not."""

    job: Job
    position: int | None = None


class IndexStore(Protocol):
    """The part of a job store that is about all jobs. Every method raises StoreUnavailable."""

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

    def look(self, job_ids: "list[str]") -> dict[str, Placed]:
        """Those of these jobs that there are, all as they stand at one moment."""

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

    def note_pace(self, name: str, measured: Measured) -> None:
        """Keep what a job took, of the latest KEPT under that name (pace.py)."""

    def paces(self, name: str) -> "list[Measured]":
        """Those that are kept."""

    # Last, because below it `list` would name this method instead of the type.
    def list(
        self, limit: int, cursor: str | None = None, *, owner: str | None = None
    ) -> tuple[list[Job], str | None]:
        """Newest first, of one owner or of all; the cursor of the next page, or None after the last.

        A cursor is any id: the page begins with the one before it.
        """
