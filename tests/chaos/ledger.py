"""Ledger: what was promised, what clients saw of it, and how long jobs stood still after each disturbance.

Not here: what follows from it (invariants.py). Threads share it; times are of the monotonic clock.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from service.errors import StoreUnavailable, UnknownJob
from service.jobs.states import JobState
from service.jobs.store import JobStore
from tests.chaos.material import Material

LOOK_S: Final = 0.2
_STATES: Final = ("queued", "planning", "running", "assembling")  # and then whatever it ended as

Standing = tuple[int, int]  # how far a job is: the place of its state, and frames done


@dataclass(frozen=True)
class Fall:
    """Progress that went back: from what, to what, and when each of the two was seen."""

    before: Standing
    after: Standing
    before_at: float
    after_at: float


@dataclass
class Promise:
    """A job that was answered with 202, and all that its client saw of it."""

    job_id: str
    material: Material
    began_at: float
    standing: Standing = (0, 0)
    seen_at: float = 0.0
    falls: list[Fall] = field(default_factory=list)
    ended_at: float | None = None
    state: str | None = None
    error: str | None = None  # its code
    version: str | None = None
    report: dict[str, Any] = field(default_factory=dict)
    digest: str | None = None  # of the result's frames
    trouble: str | None = None  # an answer that no client should get

    def see(self, state: str, frames_done: int) -> None:
        now, seen_at = standing(state, frames_done), time.monotonic()
        if now < self.standing or now[1] < self.standing[1]:
            self.falls.append(Fall(self.standing, now, self.seen_at, seen_at))
        self.standing, self.seen_at = now, seen_at


@dataclass
class Blow:
    """A disturbance, and how long after its end all jobs that it met had moved on."""

    name: str
    began_at: float
    ended_at: float
    is_alone: bool
    met: int  # jobs
    standing_still: dict[str, Standing]
    recovered_s: float | None = None


class Ledger:
    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._promises: dict[str, Promise] = {}
        self.blows: list[Blow] = []
        self.troubles: list[str] = []  # that belong to no job

    @property
    def promises(self) -> list[Promise]:
        with self._lock:
            return list(self._promises.values())

    def promised(self, job_id: str, material: Material) -> Promise:
        with self._lock:
            promise = Promise(job_id, material, time.monotonic())
            if job_id in self._promises:
                self.troubles.append(f"{job_id} was promised twice")
            self._promises[job_id] = promise
            return promise

    def struck(self, name: str, began_at: float, *, is_alone: bool) -> None:
        """A disturbance is over."""
        standings = {each.job_id: self._standing(each) for each in self.promises if each.ended_at is None}
        still = {job_id: now for job_id, now in standings.items() if 0 < now[0] < len(_STATES)}
        blow = Blow(name, began_at, time.monotonic(), is_alone, len(still), still)
        with self._lock:
            self.blows.append(blow)

    def await_recovery(self, s_max: float) -> None:
        """Of all disturbances so far, if that takes no longer."""
        deadline = time.monotonic() + s_max
        while any(blow.recovered_s is None for blow in self.blows) and time.monotonic() < deadline:
            time.sleep(LOOK_S)

    def watch(self, stop: threading.Event) -> None:
        """Note when jobs have moved on, until told to stop; for a thread of its own."""
        while not stop.wait(LOOK_S):
            with self._lock:
                open_blows = [blow for blow in self.blows if blow.recovered_s is None]
            now = {
                job_id: self._standing(self._promises[job_id])
                for job_id in {job_id for blow in open_blows for job_id in blow.standing_still}
            }
            for blow in open_blows:
                for job_id in [each for each, then in blow.standing_still.items() if now[each] > then]:
                    del blow.standing_still[job_id]
                if not blow.standing_still:
                    blow.recovered_s = time.monotonic() - blow.ended_at

    def _standing(self, promise: Promise) -> Standing:
        """As the store has it, and while that doesn't answer, as it was seen last."""
        try:
            job = self._store.get(promise.job_id)
        except (StoreUnavailable, UnknownJob):
            return promise.standing
        return standing(job.state, job.frames_done)


def standing(state: JobState | str, frames_done: int) -> Standing:
    place = _STATES.index(state) if state in _STATES else len(_STATES)
    return place, frames_done
