"""The life of a job as one table. It knows nothing of HTTP, Celery or the store.

    queued -> planning -> running -> assembling -> succeeded -> expired
       any of the first four -> failed | cancelled

A terminal state is never left, with one exception: a result whose time is over makes `succeeded` `expired`.
"""

from enum import StrEnum

from service.errors import IllegalTransition


class JobState(StrEnum):
    QUEUED = "queued"  # accepted; nobody has looked inside yet
    PLANNING = "planning"  # a worker probes it and cuts it into segments
    RUNNING = "running"  # segments are being upscaled
    ASSEMBLING = "assembling"  # parts are joined with the original sound
    SUCCEEDED = "succeeded"  # the result can be fetched
    FAILED = "failed"  # job.error says why
    CANCELLED = "cancelled"  # its owner withdrew it
    EXPIRED = "expired"  # it had succeeded; the result was removed after its time

    @property
    def is_terminal(self) -> bool:
        """True when no work is left to do."""
        return self in TERMINAL


class JobEvent(StrEnum):
    PLANNING_STARTED = "planning_started"
    PLANNED = "planned"
    ESTIMATED = "estimated"  # of a job that is only looked into
    ASSEMBLY_STARTED = "assembly_started"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})
EXPIRY = (JobState.SUCCEEDED, JobState.EXPIRED)  # the one move out of a terminal state
_GIVE_UP = {JobEvent.FAIL: JobState.FAILED, JobEvent.CANCEL: JobState.CANCELLED}

TRANSITIONS: dict[JobState, dict[JobEvent, JobState]] = {
    JobState.QUEUED: {JobEvent.PLANNING_STARTED: JobState.PLANNING, **_GIVE_UP},
    # A worker that takes over from a dead one starts planning or assembly again: same state, no error.
    JobState.PLANNING: {
        JobEvent.PLANNING_STARTED: JobState.PLANNING,
        JobEvent.PLANNED: JobState.RUNNING,
        JobEvent.ESTIMATED: JobState.SUCCEEDED,
        **_GIVE_UP,
    },
    JobState.RUNNING: {JobEvent.ASSEMBLY_STARTED: JobState.ASSEMBLING, **_GIVE_UP},
    JobState.ASSEMBLING: {
        JobEvent.ASSEMBLY_STARTED: JobState.ASSEMBLING,
        JobEvent.SUCCEED: JobState.SUCCEEDED,
        **_GIVE_UP,
    },
    JobState.SUCCEEDED: {JobEvent.EXPIRE: JobState.EXPIRED},
    JobState.FAILED: {},
    JobState.CANCELLED: {},
    JobState.EXPIRED: {},
}


def advance(state: JobState, event: JobEvent) -> JobState:
    """The state after the event; raises IllegalTransition when the table has no such move."""
    if event not in TRANSITIONS[state]:
        raise IllegalTransition(f"a job that is {state} cannot {event}", field="state", value=state.value)
    return TRANSITIONS[state][event]
