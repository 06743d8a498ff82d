"""Measuring: what a job took, noted for estimates of others (service/jobs/pace.py). It fails no job."""

import logging

from service.errors import TransientError
from service.jobs.model import Job
from service.jobs.pace import Measured, pace_name
from worker.job.context import WorkerContext

log = logging.getLogger(__name__)


def measure(
    context: WorkerContext, job: Job, *, megapixels_out: float, result_bytes: int, coded_as: str
) -> None:
    """Note the time of a job that ends now and went through without interruption.

    Where others ran beside it, it gets the part of the time that it has of the pixels.
    """
    if job.started_at is None or job.megapixels is None or job.model is None:
        return
    try:
        took_s = context.store.now() - job.started_at
        share = job.megapixels / max(job.megapixels, context.meter.since(took_s))
        measured = Measured(
            job=job.id,
            megapixels=job.megapixels,
            megapixels_out=megapixels_out,
            seconds=took_s * share,
            result_bytes=result_bytes,
            coded_as=coded_as,
        )
        context.store.note_pace(pace_name(job.kind, job.model), measured)
    except TransientError as error:
        log.warning("job_not_measured", extra={"reason": str(error)})
