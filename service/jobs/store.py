"""JobStore: the fast index of jobs, and who works on what. Two backends: redis/, and memory/ for tests.

The rules both keep (tests/service/jobs/test_store_contract.py):

- A step is `plan`, `segment/<n>` or `assemble`. It runs only under a lease, taken when the step is runnable:
  plan while the job is queued or planning; a segment while it is running and its predecessor is done;
  assemble when every segment is done. A picture's plan goes on to the end (worker/job/steps/picture.py), so
  it can run, and run again, until the job has ended.
- Each lease has a fence larger than any before it. Only the newest fence renews, releases, finishes, or moves
  the job's state.
- Which of all steps is next is told by turns.py; a worker asks for it and gets it under a lease in one move.
- Time is the store's own, so hosts whose clocks differ agree on when a lease is over.
- Every method raises StoreUnavailable when the store does not answer.
- Whatever is asked twice, because an answer got lost on its way, answers and leaves the same as asked once.

The order for a worker: `transition` first, `finish` second. A crash between them leaves a job whose step can
no longer run because its state moved on, never a job that waits for a step that is already done.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.errors import IdempotencyConflict, UnknownJob
from service.jobs.index import IndexStore
from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.quotas import UNLIMITED, Quota, UsageStore
from service.jobs.states import JobEvent
from service.jobs.steps import Lease, Runtime, StepStore

CLAIM_S = 3600.0  # of a key: by then housekeeping has found the manifest of whoever died meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPart:
    """A segment that storage shows to be done, for `restore`."""

    fence: int
    part_key: str
    state_key: str | None


# What both backends say in the same words.


def unknown_job(job_id: str) -> UnknownJob:
    return UnknownJob("There is no such job.", field="id", value=job_id)


def key_conflict(key: str | None) -> IdempotencyConflict:
    return IdempotencyConflict("This key was used for another request.", field="Idempotency-Key", value=key)


class JobStore(StepStore, IndexStore, UsageStore, Protocol):
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
