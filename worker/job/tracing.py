"""Tracing: the span of a step, from its beginning to its end, under the request that made its job."""

from service.jobs.model import Job
from service.jobs.steps import PLAN, Step, kind_of, segment_index
from worker.job.context import WorkerContext
from worker.job.held import Held


def trace(context: WorkerContext, held: Held, job: Job) -> None:
    """Have the step that is held in the trace of its job, from now until it ends.

    What the job waited for a worker stands beside the first of them.
    """
    lease, begin = held.lease, context.traces.begin
    if lease.step == PLAN and lease.attempt == 1:
        begin("wait", job.traceparent, began_at=job.created_at, job=job.id).end()
    held.span = begin(
        _name(job, lease.step),
        job.traceparent,
        job=job.id,
        step=lease.step,
        segment=segment_index(lease.step),
        attempt=lease.attempt,
        model=job.model,
        version=job.version,
    )


def _name(job: Job, step: Step) -> str:
    if job.is_estimate:
        return "estimate"
    return "picture" if job.kind == "image" else kind_of(step)
