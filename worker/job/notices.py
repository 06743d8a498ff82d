"""What came up while a job ran and its owner should know; kept in its report until assembly."""

from collections.abc import Sequence

from worker.job.context import WorkerContext


def add_notices(context: WorkerContext, job_id: str, notices: Sequence[str]) -> None:
    """Each once, however often a step is begun."""
    known = read_notices(context, job_id)
    if new := [notice for notice in notices if notice not in known]:
        context.store.update(job_id, report={"notices": known + new})


def read_notices(context: WorkerContext, job_id: str) -> list[str]:
    report = context.store.get(job_id).report
    return [] if report is None else list(report["notices"])
