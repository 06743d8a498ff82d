"""Pinned: the model, backend and precision that a job's plan names, and when a worker may take others."""

from typing import Final

from service.jobs.manifest import Plan
from worker.engine.backends.making import Runtime
from worker.job.context import WorkerContext, add_notices
from worker.job.held import GivenBack
from worker.models.registry import Served

SWITCH_AFTER_S: Final = 180.0  # without progress; a worker of the right kind would have come by


def pinned_model(context: WorkerContext, job_id: str, plan: Plan) -> Served:
    """The plan's model, run as the plan says.

    Another backend rounds differently, so the step is left to a worker that has the right one; when none made
    progress for a while, any will do, and the owner is told.
    """
    runtime = Runtime(plan.backend, plan.precision)
    if context.models.honours(runtime):
        return context.models.acquire(plan.model, plan.version, runtime=runtime)
    job = context.store.get(job_id)
    if context.store.now() - job.updated_at < SWITCH_AFTER_S:
        raise GivenBack(f"this worker does not run {plan.backend} in {plan.precision}")
    model = context.models.acquire(plan.model, plan.version)
    notice = (
        f"from frame {job.frames_done} on {model.backend} in {model.precision} instead of {plan.backend} in "
        f"{plan.precision}, because no worker had that"
    )
    add_notices(context, job_id, [notice])
    return model
