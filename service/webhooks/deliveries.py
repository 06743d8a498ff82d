"""Deliveries: what a job's receiver is to be told, what came of it, and when to try again.

What is to be told follows from the job's state, so a store that lost all knows it again with its jobs; the
record `jobs/<id>/webhooks.json` tells what was done already. Not here: sending (delivering.py).
"""

from typing import Final, Literal

from service.jobs import keys
from service.jobs.model import Job, Record
from service.jobs.states import JobState
from service.objects.base import NotFound, Storage

Event = Literal["job.succeeded", "job.failed", "job.cancelled", "job.expired"]

LIFE_S: Final = 86400.0  # from the event; then its receiver is given up
DELAYS_S: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)  # the last one again and again
ATTEMPTS_KEPT: Final = 20

_EVENTS: Final[dict[JobState, tuple[Event, ...]]] = {
    JobState.SUCCEEDED: ("job.succeeded",),
    JobState.FAILED: ("job.failed",),
    JobState.CANCELLED: ("job.cancelled",),
    JobState.EXPIRED: ("job.succeeded", "job.expired"),
}


class Attempt(Record):
    at: float
    status: int | None = None  # of HTTP; None where no answer came
    error: str | None = None  # why not, in a few words
    is_final: bool = False  # the receiver wants no more: 410

    @property
    def has_arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Delivery(Record):
    id: str  # of the message: the same for all attempts, so that a receiver knows a repetition
    event: Event
    since: float  # when that happened
    state: Literal["pending", "delivered", "given_up"] = "pending"
    next_at: float | None = None  # of a pending one
    attempt_count: int = 0
    attempts: tuple[Attempt, ...] = ()  # the last ones

    def after(self, attempt: Attempt, *, delay_s: float) -> "Delivery":
        """With one attempt more, and another as much later unless this was the last."""
        next_at = attempt.at + delay_s
        state: Literal["pending", "delivered", "given_up"] = "pending"
        if attempt.has_arrived:
            state = "delivered"
        elif attempt.is_final or next_at > self.since + LIFE_S:
            state = "given_up"
        return self.model_copy(
            update={
                "state": state,
                "next_at": next_at if state == "pending" else None,
                "attempt_count": self.attempt_count + 1,
                "attempts": (*self.attempts, attempt)[-ATTEMPTS_KEPT:],
            }
        )


class Log(Record):
    """The record of one job."""

    deliveries: tuple[Delivery, ...] = ()


def expected(job: Job, log: Log) -> list[Delivery]:
    """All that the receiver is to be told of the job as it stands, with what was done so far."""
    if job.handling.webhook is None:
        return []
    known = {delivery.event: delivery for delivery in log.deliveries}
    return [known.get(event) or _new(job, event) for event in _EVENTS.get(job.state, ())]


def delay_s(delivery: Delivery) -> float:
    """Between the next attempt, should it fail, and the one after it."""
    return DELAYS_S[min(delivery.attempt_count, len(DELAYS_S) - 1)]


def load(storage: Storage, job_id: str) -> Log:
    try:
        return Log.model_validate_json(storage.get(keys.webhooks_key(job_id)))
    except NotFound:
        return Log()


def save(storage: Storage, job_id: str, log: Log) -> None:
    storage.put(keys.webhooks_key(job_id), log.model_dump_json().encode())


def _new(job: Job, event: Event) -> Delivery:
    since = job.updated_at
    if event != "job.expired" and job.finished_at is not None:
        since = job.finished_at
    return Delivery(id=f"msg_{job.id}_{event.removeprefix('job.')}", event=event, since=since, next_at=since)
