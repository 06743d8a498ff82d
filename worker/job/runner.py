"""One step of a job from lease to finish: what runs, what an error means, and when the next is asked for.

The class of an error decides: the owner's fault fails the job at once, ours as well; anything that may pass
leaves the lease to run out, and the sweeper puts the step in line again until its attempts are used up.
Attempts are counted against a job, so one that found the storage away for all is given back uncounted.
"""

import errno
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from service import metrics
from service.errors import (
    DeviceGone,
    FaultError,
    IllegalTransition,
    InputError,
    LimitReached,
    StorageUnavailable,
    TooManyAttempts,
    TransientError,
    UnknownJob,
    UpscaleError,
)
from service.jobs import ending, manifest
from service.jobs.model import Job, JobError
from service.jobs.states import JobEvent
from service.jobs.steps import PLAN, Lease, Step, kind_of, too_many_attempts
from service.log import bind
from worker.engine.room import NoRoom
from worker.job.context import WorkerContext
from worker.job.held import GivenBack, Held, LeaseLost, patiently
from worker.job.steps import assemble, estimate, picture, plan, segment
from worker.job.tracing import trace

log = logging.getLogger(__name__)

_WORK: Final[Mapping[str, Callable[[WorkerContext, Held], None]]] = {
    "plan": plan.plan,
    "segment": segment.upscale,
    "assemble": assemble.assemble,
}


def run(context: WorkerContext, job_id: str, step: Step) -> None:
    """Told that the step can run: do what is next, one step after the other, while there is anything to do.

    Raises nothing that a job can cause.
    """
    told: tuple[str, Step] | None = (job_id, step)
    goes_on = True
    while goes_on and not context.draining.is_set():
        with context.streams.entered() as is_any:
            goes_on = _run_next(context, told, context.runtimes if is_any else None)
        told = None


def _run_next(context: WorkerContext, told: tuple[str, Step] | None, runtimes: frozenset[str] | None) -> bool:
    """Do the step whose turn it is; whether to go on with another at once.

    Not where this one may have failed for a reason that the others would meet: the sweeper wakes a thread
    again in a second.
    """
    try:
        lease = context.store.take(f"{context.name}-{secrets.token_hex(4)}", runtimes, told=told)
    except TransientError as error:
        log.warning("step_interrupted", extra={"error": repr(error)})
        return False
    if lease is None:
        return False
    goes_on = True
    while goes_on and lease is not None:
        with bind(job=lease.job_id, step=lease.step):
            goes_on = _run_held(context, lease)
        lease = _next_of_sample(context, lease.job_id) if goes_on else None
    return goes_on


def _next_of_sample(context: WorkerContext, job_id: str) -> Lease | None:
    """Who planned a sample does all of it at once, also in the stream that is kept for pictures."""
    try:
        job = context.store.get(job_id)
        if job.purpose != "sample" or job.state.is_terminal or context.draining.is_set():
            return None
        for step in context.store.waiting(job_id):
            lease = context.store.acquire(job_id, step, f"{context.name}-{secrets.token_hex(4)}")
            if lease is not None:
                return lease
    except (TransientError, UnknownJob, TooManyAttempts) as error:
        log.warning("sample_left", extra={"error": repr(error)})
    return None


def _run_held(context: WorkerContext, lease: Lease) -> bool:
    try:
        if lease.attempt > context.settings.attempts_max:
            raise too_many_attempts(lease.step, lease.attempt - 1)
        if lease.attempt > 1:
            metrics.STEPS_RETRIED.labels(kind_of(lease.step)).inc()
        with Held(context.store, lease, draining=context.draining) as held:
            held.check()
            _work(context, held)
    except LeaseLost:
        log.info("step_left")
    except GivenBack as reason:
        log.info("step_given_back", extra={"reason": str(reason)})
        return False
    except (InputError, LimitReached, FaultError) as error:
        log.info("step_refused", extra={"error": repr(error)})
        _fail(context, lease, error)
    except TransientError as error:
        log.warning("step_interrupted", extra={"error": repr(error)})
        return False
    except Exception:  # the top of a task: one bad job must not take the worker with it
        log.exception("step_broken")
        return False
    return True


def _work(context: WorkerContext, held: Held) -> None:
    """Do the step's work.

    A storage that is away for everyone, a full disk, memory that others hold or a lost device is no attempt
    of this job's.
    """
    try:
        _leave_what_is_over(context, held)
        job = context.store.get(held.lease.job_id)
        trace(context, held, job)
        if job.is_estimate:
            estimate.estimate(context, held, job)
        elif job.kind == "image":
            picture.upscale(context, held, job)
        else:
            _WORK[kind_of(held.lease.step)](context, held)
            if held.lease.step == PLAN:
                _wake_others(context, job.id)
    except NoRoom as error:
        raise GivenBack(str(error)) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise GivenBack("the disk is full") from error
    except DeviceGone as error:
        # Whatever else this process has begun will find the same, and costs no job an attempt either.
        log.critical("device_gone", extra={"reason": str(error)})
        context.device_gone.set()
        context.draining.set()
        raise GivenBack("the device is gone") from error
    except StorageUnavailable as error:
        try:
            context.storage.ping()
        except StorageUnavailable:
            raise GivenBack("the storage is away") from error
        raise


def _leave_what_is_over(context: WorkerContext, held: Held) -> None:
    """A store that lost its last moments may hand out a step of a job that its manifest knows to be over."""
    recorded = manifest.load_end(context.storage, held.lease.job_id)
    if recorded is not None:
        ending.conclude(context.store, context.storage, recorded)
        raise LeaseLost(f"{held.lease.job_id} is over")


def _wake_others(context: WorkerContext, job_id: str) -> None:
    """A plan made many steps at once of which nobody else has heard; this thread does the first."""
    line = context.store.line_up(job_id)
    for step in () if line is None else line.first[1:]:
        context.queue.enqueue(job_id, step)


def _fail(context: WorkerContext, lease: Lease, error: UpscaleError) -> None:
    """End the job with the reason, unless it has ended already or someone took the step over meanwhile."""
    reason = JobError.from_exception(error)
    try:
        job = patiently(_end_as_failed, context, lease, reason)
    except TransientError as away:
        log.warning("step_interrupted", extra={"error": repr(away)})
        return
    except (IllegalTransition, UnknownJob):
        return
    finally:
        context.inputs.forget(lease.job_id)
    if job is None:
        log.info("step_left")
    elif job.error == reason:
        log.info("job_failed", extra={"code": error.code})
        metrics.JOBS_ENDED.labels(error.code).inc()


def _end_as_failed(context: WorkerContext, lease: Lease, reason: JobError) -> Job | None:
    if not context.store.renew(lease):
        return None
    job = context.store.get(lease.job_id)
    return ending.end(context.store, context.storage, job, JobEvent.FAIL, error=reason)
