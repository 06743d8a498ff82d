"""The task queue: one message for each step that can run. Celery carries it and is trusted with nothing else.

Losing, repeating or reordering messages is harmless: a step runs only under a lease (jobs/store.py), and the
sweeper sends again what got lost. Not here: what the tasks do (worker/tasks.py).
"""

from typing import Protocol

from service.jobs.store import JobStore, Step


class Queue(Protocol):
    def enqueue(self, job_id: str, step: Step) -> None:
        """Send the message; raises StoreUnavailable when the broker does not take it."""

    def depth(self) -> int:
        """How many messages wait for a worker."""


def dispatch(store: JobStore, queue: Queue, job_id: str, step: Step) -> None:
    """Mark the step as queued and send its message; the way every process queues work."""
    store.mark_queued(job_id, step)
    queue.enqueue(job_id, step)
