"""One step of a job from lease to finish: what runs, what an error means, and what is queued next.

The class of an error decides: the owner's fault fails the job at once, ours as well; anything that may pass
leaves the lease to run out, and the sweeper queues the step again until its attempts are used up. Attempts
are counted against a job, so one that found the storage away for all is given back uncounted.
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
    StorageUnavailable,
    TransientError,
    UnknownJob,
    UpscaleError,
)
from service.jobs import ending, manifest
from service.jobs.model import Job, JobError
from service.jobs.states import JobEvent
from service.jobs.store import Lease, Step, kind_of
from service.log import bind
from service.queue import dispatch
from worker.engine.room import NoRoom
from worker.job import assemble, picture, plan, segment
from worker.job.context import WorkerContext
from worker.job.held import GivenBack, Held, LeaseLost, patiently

log = logging.getLogger(__name__)

_WORK: Final[Mapping[str, Callable[[WorkerContext, Held], None]]] = {
    "plan": plan.plan,
    "segment": segment.upscale,
    "assemble": assemble.assemble,
}


def run(context: WorkerContext, job_id: str, step: Step) -> None:
    """Do the step if it is to be had, then one step after the other of what it made runnable.

    Whatever else became runnable is queued. Raises nothing that a job can cause.
    """
    following: Step | None = step
    while following is not None:
        with bind(job=job_id, step=following):
            following = _run_one(context, job_id, following)


def _run_one(context: WorkerContext, job_id: str, step: Step) -> Step | None:
    """Do one step; returns the one to go on with."""
    lease: Lease | None = None
    try:
        lease = context.store.acquire(job_id, step, f"{context.name}-{secrets.token_hex(4)}")
        if lease is None:
            return None
        if lease.attempt > 1:
            metrics.STEPS_RETRIED.labels(kind_of(step)).inc()
        with Held(context.store, lease, draining=context.draining) as held:
            held.check()
            is_whole = _work(context, held)
        return None if is_whole else _share_ready(context, job_id)
    except LeaseLost:
        log.info("step_left")
    except GivenBack as reason:
        log.info("step_given_back", extra={"reason": str(reason)})
    except (InputError, FaultError) as error:
        log.info("step_refused", extra={"error": repr(error)})
        _fail(context, job_id, lease, error)
    except TransientError as error:
        log.warning("step_interrupted", extra={"error": repr(error)})
    except Exception:  # the top of a task: one bad job must not take the worker with it
        log.exception("step_broken")
    return None


def _work(context: WorkerContext, held: Held) -> bool:
    """Do the step's work; whether that was the whole job.

    A storage that is away for everyone, a full disk, memory that others hold or a lost device is no attempt
    of this job's.
    """
    try:
        _leave_what_is_over(context, held)
        job = context.store.get(held.lease.job_id)
        if job.kind == "image":
            picture.upscale(context, held, job)
            return True
        _WORK[kind_of(held.lease.step)](context, held)
        return False
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


def _share_ready(context: WorkerContext, job_id: str) -> Step | None:
    """Queue what can run now and nobody has queued yet, all but the first step, which is returned."""
    ready = [step for step, queued_at in context.store.waiting(job_id).items() if queued_at is None]
    for step in ready[1:]:
        dispatch(context.store, context.queue, job_id, step)
    if not ready:
        return None
    context.store.mark_queued(job_id, ready[0])  # or the sweeper would send a message for it
    return ready[0]


def _fail(context: WorkerContext, job_id: str, lease: Lease | None, error: UpscaleError) -> None:
    """End the job with the reason, unless it has ended already or someone took the step over meanwhile.

    lease   under which it went wrong; None where none was to be had
    """
    reason = JobError.from_exception(error)
    try:
        job = patiently(_end_as_failed, context, job_id, lease, reason)
    except TransientError as away:
        log.warning("step_interrupted", extra={"error": repr(away)})
        return
    except (IllegalTransition, UnknownJob):
        return
    finally:
        context.inputs.forget(job_id)
    if job is None:
        log.info("step_left")
    elif job.error == reason:
        log.info("job_failed", extra={"code": error.code})
        metrics.JOBS_ENDED.labels(error.code).inc()


def _end_as_failed(context: WorkerContext, job_id: str, lease: Lease | None, reason: JobError) -> Job | None:
    if lease is not None and not context.store.renew(lease):
        return None
    return ending.end(context.store, context.storage, context.store.get(job_id), JobEvent.FAIL, error=reason)
