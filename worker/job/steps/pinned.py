"""Pinned: the model, backend and precision that a job's plan names, and when a worker may take others."""

from typing import Final

from service.jobs.manifest import Plan
from worker.engine.backends.making import Runtime
from worker.job.context import WorkerContext, add_notices, read_notices
from worker.job.held import GivenBack
from worker.models.registry import Served

_WHY: Final = "because no worker had that"


def pinned_model(context: WorkerContext, job_id: str, plan: Plan) -> Served:
    """The plan's model, run as the plan says.

    Another backend rounds differently, so the store hands the step to workers that have this one (turns.py).
    When none is alive any will do, and the owner is told from which frame on.
    """
    if plan.runtime in context.runtimes:
        runtime = Runtime(plan.backend, plan.precision)
        return context.models.acquire(plan.model, plan.version, runtime=runtime)
    if context.store.is_served(plan.runtime):
        # One came this moment, or a former version planned the job and told the store of no runtime.
        raise GivenBack(f"this worker does not run {plan.runtime}", only_for=plan.runtime)
    model = context.models.acquire(plan.model, plan.version)
    if not any(notice.endswith(_WHY) for notice in read_notices(context, job_id)):
        frame = context.store.get(job_id).frames_done
        notice = (
            f"from frame {frame} on {model.backend} in {model.precision} instead of {plan.backend} in "
            f"{plan.precision}, {_WHY}"
        )
        add_notices(context, job_id, [notice])
    return model
