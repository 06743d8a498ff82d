"""Invariants: what must hold of all jobs after whatever happened. Each check says what breaks it, in words.

Start reading at `broken`. Not here: how it was seen (ledger.py).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from service.errors import InputError, UnknownJob
from service.housekeeping.rebuilding import UNACCEPTED_S, rebuild
from service.jobs import ending, keys, manifest
from service.jobs.redis.store import RedisStore
from service.jobs.states import JobState
from tests.chaos.cast import LEASE_S, Cast
from tests.chaos.disturbances import TABLE
from tests.chaos.ledger import Blow, Ledger, Promise

References = Mapping[tuple[str, str], str]  # material and version of the model -> digest of all frames

_PLAN_AND_ASSEMBLY: Final = 2  # steps of a video beside its segments
_AFTERMATH_S: Final = 2 * LEASE_S  # so long after a disturbance a step may still fail by it
_SLACK_S: Final = 2.0  # between two looks at a job


def broken(cast: Cast, ledger: Ledger, references: References) -> dict[str, list[str]]:
    """What is wrong, by invariant, once all senders are done. Keeps house first."""
    keep_house(cast)
    return {
        "lost": list(_lost(cast, ledger)),
        "duplicated": list(_duplicated(cast, ledger)),
        "different": list(_different(ledger, references)),
        "orphans": list(_orphans(cast)),
        "attempts": list(_attempts(ledger)),
        "progress": list(_progress(ledger)),
        "answers": ledger.troubles + [each.trouble for each in ledger.promises if each.trouble],
    }


def keep_house(cast: Cast) -> None:
    """As the sweeper does every ten minutes, at a time when an upload that nobody accepted is old enough."""
    assert rebuild(_Later(cast.store), cast.storage), "housekeeping goes well on a quiet service"
    cast.storage.discard_unfinished(keys.JOBS_PREFIX, 0)


class _Later(RedisStore):
    """The same store, a day later."""

    def __init__(self, store: RedisStore) -> None:
        self.__dict__ = store.__dict__

    def now(self) -> float:
        return super().now() + UNACCEPTED_S + 60


def _lost(cast: Cast, ledger: Ledger) -> Iterator[str]:
    """Good jobs succeed, poison fails as its owner's fault, once: client, store and manifest say the same."""
    owners_faults = {each.code for each in InputError.__subclasses__()}
    for promise in ledger.promises:
        wanted = JobState.FAILED if promise.material.is_poison else JobState.SUCCEEDED
        try:
            state = cast.store.get(promise.job_id).state
        except UnknownJob:
            yield f"{_named(promise)} is unknown"
            continue
        recorded = manifest.load_end(cast.storage, promise.job_id)
        states = {promise.state, state, recorded and recorded.job.state}
        if states != {wanted}:
            yield f"{_named(promise)}: client {promise.state}, store {state}, error {promise.error}"
        elif promise.material.is_poison and promise.error not in owners_faults:
            yield f"{_named(promise)} failed as {promise.error}"


def _duplicated(cast: Cast, ledger: Ledger) -> Iterator[str]:
    """Jobs that no client was told of."""
    promised = {promise.job_id for promise in ledger.promises}
    for key in cast.storage.list(keys.JOBS_PREFIX):
        job_id = key.removeprefix(keys.JOBS_PREFIX).split("/")[0]
        if key == keys.manifest_key(job_id) and job_id not in promised:
            state = cast.store.get(job_id).state
            yield f"{job_id}, {state}, was promised to nobody"


def _different(ledger: Ledger, references: References) -> Iterator[str]:
    for promise in ledger.promises:
        if promise.state == JobState.SUCCEEDED:
            assert promise.version is not None
            if promise.digest != references[promise.material.name, promise.version]:
                yield _named(promise)


def _orphans(cast: Cast) -> Iterator[str]:
    for key in cast.storage.list(keys.JOBS_PREFIX):
        job_id = key.removeprefix(keys.JOBS_PREFIX).split("/")[0]
        try:
            is_kept = ending.keeps(cast.store.get(job_id), key)
        except UnknownJob:
            is_kept = False
        if not is_kept:
            yield key


def _attempts(ledger: Ledger) -> Iterator[str]:
    """More steps begun than there are, with no disturbance that each can have failed by."""
    costly = [blow for blow in ledger.blows if TABLE[blow.name].costs]
    for promise in ledger.promises:
        if promise.state == JobState.SUCCEEDED:
            met = [blow for blow in costly if _meets(blow, promise)]
            spent = promise.report["attempts"] - _due(promise)
            if spent > sum(promise.material.shots * _leases_of(blow) for blow in met):
                yield f"{_named(promise)}: {spent} too many, met {[blow.name for blow in met]}"


def _progress(ledger: Ledger) -> Iterator[str]:
    """It never falls, unless the store lost what it had been told."""
    forgetful = [blow for blow in ledger.blows if TABLE[blow.name].forgets]
    for promise in ledger.promises:
        for fall in promise.falls:
            if not any(
                blow.began_at < fall.after_at and fall.before_at < blow.ended_at + _SLACK_S
                for blow in forgetful
            ):
                yield f"{_named(promise)}: {fall.before} to {fall.after}"


def _due(promise: Promise) -> int:
    if promise.material.is_picture:
        return 1
    segments: int = promise.report["segments"]
    return segments + _PLAN_AND_ASSEMBLY


def _meets(blow: Blow, promise: Promise) -> bool:
    assert promise.ended_at is not None
    return promise.began_at < blow.ended_at + _AFTERMATH_S and blow.began_at < promise.ended_at


def _leases_of(blow: Blow) -> int:
    """How often a step can be begun while it lasts, and fail."""
    return 1 + int((blow.ended_at - blow.began_at) / LEASE_S)


def _named(promise: Promise) -> str:
    return f"{promise.job_id} ({promise.material.name})"
