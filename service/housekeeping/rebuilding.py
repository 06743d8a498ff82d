"""Rebuilding: the store from the manifests and the names of parts.

What nobody needs goes: uploads that were never accepted, and what late workers left behind jobs that ended.
"""

import logging
from collections.abc import Collection, Iterator
from functools import partial
from itertools import groupby
from typing import Final

from pydantic import ValidationError

from service import metrics
from service.errors import UnknownJob
from service.housekeeping.apart import goes_well
from service.jobs import ending, keys, manifest
from service.jobs.ids import created_at_of
from service.jobs.manifest import Manifest, Plan
from service.jobs.model import Job
from service.jobs.store import FinishedPart, JobStore
from service.objects.base import Storage

log = logging.getLogger(__name__)

UNACCEPTED_S: Final = 86400.0  # the slowest upload we wait for: 2 GiB at 200 kbit/s


def rebuild(store: JobStore, storage: Storage) -> bool:
    """Restore jobs that have a manifest and are not in the store; drop what is nobody's.

    Returns whether all went well. The store is complete when all jobs are in it. Those that go on come first:
    they stand still until then, and may be few among many that are over.
    """
    epoch = store.epoch()
    has_gone_well = is_complete = True
    for goes_on in (True, False):
        for job_id, found in _jobs(storage):
            if _goes_on(job_id, found) is not goes_on:
                continue
            if keys.manifest_key(job_id) in found:
                act = partial(_restore, store, storage, job_id, found)
            else:
                act = partial(_discard_unaccepted, store, storage, job_id)
            if not goes_well(act, event="job_not_restored", job_id=job_id, storage=storage):
                has_gone_well = False
                # Without the permission to delete, say, the job is there all the same.
                is_complete &= keys.manifest_key(job_id) not in found or _known(store, job_id) is not None
    if is_complete:
        store.mark_complete(epoch)
    return has_gone_well


def _jobs(storage: Storage) -> Iterator[tuple[str, Collection[str]]]:
    """Every job with the keys of its objects, oldest first."""
    names = storage.list(keys.JOBS_PREFIX)
    for job_id, group in groupby(names, key=lambda key: key.removeprefix(keys.JOBS_PREFIX).split("/")[0]):
        yield job_id, set(group)


def _goes_on(job_id: str, found: Collection[str]) -> bool:
    return keys.manifest_key(job_id) in found and keys.ended_key(job_id) not in found


def _restore(store: JobStore, storage: Storage, job_id: str, found: Collection[str]) -> None:
    known = _known(store, job_id)
    if known is not None and known.owner is not None:
        store.index_owner(job_id)
    if known is not None and keys.ended_key(job_id) not in found:
        return
    if known is not None and known.state.is_terminal:
        _clear_late(storage, known, found)
        return
    try:
        recorded = manifest.load(storage, job_id)
    except UnknownJob:
        return  # deleted since we read its name
    except ValidationError:
        log.exception("manifest_refused", extra={"job": job_id})
        return
    if known is not None:  # the store lost no more than the job's end
        ending.conclude(store, storage, recorded)
    elif not restore(store, recorded, found):
        return
    metrics.SWEEPER_ACTIONS.labels("restore").inc()
    log.warning("job_restored", extra={"job": job_id, "state": store.get(job_id).state.value})


def _clear_late(storage: Storage, job: Job, found: Collection[str]) -> None:
    """A worker that is told of the end only when it marks its part done has stored it by then."""
    if not all(ending.keeps(job, key) for key in found):
        ending.clear(storage, job)
        metrics.SWEEPER_ACTIONS.labels("clear").inc()
        log.info("late_objects_cleared", extra={"job": job.id})


def _discard_unaccepted(store: JobStore, storage: Storage, job_id: str) -> None:
    try:
        age_s = store.now() - created_at_of(job_id)
    except ValueError:
        return  # no name of ours
    if age_s > UNACCEPTED_S and _known(store, job_id) is None:
        storage.delete_prefix(keys.job_prefix(job_id))
        metrics.SWEEPER_ACTIONS.labels("discard").inc()
        log.info("upload_discarded", extra={"job": job_id})


def _known(store: JobStore, job_id: str) -> Job | None:
    try:
        return store.get(job_id)
    except UnknownJob:
        return None


def restore(store: JobStore, recorded: Manifest, found: Collection[str]) -> bool:
    """Put one job back into the store, with the parts whose keys were found; False when it is there."""
    job = recorded.standing()
    if job.state.is_terminal:
        return store.restore(job, idempotency_key=recorded.idempotency_key)
    plan = recorded.plan if job.kind != "image" else None  # a picture starts anew
    fences = [
        keys.segment_and_fence(key)[1]
        for key in found
        if key.startswith((keys.parts_prefix(job.id), keys.states_prefix(job.id)))
    ]
    return store.restore(
        job,
        segments=() if plan is None else plan.segments,
        parts={} if plan is None else finished_parts(job.id, plan, found),
        # Larger than every fence that left a trace, and than those of workers that still hold an old lease.
        fence_floor=max([int(store.now()), *fences]),
        runtime=None if plan is None else plan.runtime,
        idempotency_key=recorded.idempotency_key,
    )


def finished_parts(job_id: str, plan: Plan, found: Collection[str]) -> dict[int, FinishedPart]:
    """For each finished segment the part with the highest fence.

    A part is no use when its successor is still to run and the state it starts from is missing.
    """
    fences_by_segment: dict[int, list[int]] = {}
    for key in found:
        if key.startswith(keys.parts_prefix(job_id)):
            index, fence = keys.segment_and_fence(key)
            fences_by_segment.setdefault(index, []).append(fence)

    followed = {segment.follows: segment.index for segment in plan.segments if segment.follows is not None}
    finished: dict[int, FinishedPart] = {}
    for segment in reversed(plan.segments):
        successor = followed.get(segment.index)
        for fence in sorted(fences_by_segment.get(segment.index, []), reverse=True):
            state = keys.state_key(job_id, segment.index, fence)
            if state in found or successor is None or successor in finished:
                finished[segment.index] = FinishedPart(
                    fence=fence,
                    part_key=keys.part_key(job_id, segment.index, fence),
                    state_key=state if state in found else None,
                )
                break
    return finished
