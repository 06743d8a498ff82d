import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.errors import StoreUnavailable
from service.jobs.ids import new_job_id
from service.jobs.manifest import Segment
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Job
from service.jobs.states import JobEvent
from service.jobs.steps import Lease
from worker.job import held as held_module
from worker.job.held import GivenBack, Held, LeaseLost, within


@pytest.fixture(autouse=True)
def _renew_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "RENEW_S", 0.01)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(lease_s=15, attempts_max=4)


@pytest.fixture
def lease(store: MemoryStore) -> Lease:
    now = time.time()
    job = Job(
        id=new_job_id(),
        kind="video",
        filename="clip.mp4",
        size_bytes=1,
        sha256="0" * 64,
        created_at=now,
        updated_at=now,
    )
    store.create(job)
    store.transition(job.id, JobEvent.PLANNING_STARTED)
    store.set_segments(job.id, [Segment(index=0, frame_start=0, frame_stop=9)])
    store.transition(job.id, JobEvent.PLANNED, frames_total=9)
    found = store.acquire(job.id, "segment/0", "me")
    assert found is not None
    return found


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen in 5 s")


def test_progress_reaches_the_store_without_being_asked(store: MemoryStore, lease: Lease) -> None:
    with Held(store, lease, draining=threading.Event()) as held:
        held.advance(4)
        eventually(lambda: store.get(lease.job_id).frames_done == 4)


def test_a_cancelled_job_stops_its_step(store: MemoryStore, lease: Lease) -> None:
    stopped = threading.Event()
    with Held(store, lease, draining=threading.Event(), on_stop=stopped.set) as held:
        store.transition(lease.job_id, JobEvent.CANCEL)
        assert stopped.wait(5)
        with pytest.raises(LeaseLost):
            held.advance()


def test_a_finished_step_is_not_told_to_stop(store: MemoryStore, lease: Lease) -> None:
    """Guards against a successor's stream being closed by the renewing of the segment before it."""
    stopped = threading.Event()
    with Held(store, lease, draining=threading.Event(), on_stop=stopped.set) as held:
        held.finish(part_key="p")
        time.sleep(0.1)
        held.check()
    assert not stopped.is_set()


def test_a_drained_step_is_given_back_at_once(store: MemoryStore, lease: Lease) -> None:
    draining = threading.Event()
    with pytest.raises(GivenBack), Held(store, lease, draining=draining) as held:  # noqa: PT012
        draining.set()
        held.advance()
    again = store.acquire(lease.job_id, lease.step, "other")
    assert again is not None
    assert again.attempt == 1  # being drained is not the job's fault


def test_a_step_that_waits_is_woken_when_its_worker_drains(store: MemoryStore, lease: Lease) -> None:
    draining, woken = threading.Event(), threading.Event()
    with pytest.raises(GivenBack), Held(store, lease, draining=draining, on_stop=woken.set) as held:  # noqa: PT012
        draining.set()
        assert woken.wait(5)
        held.check()


def test_a_step_that_is_busy_when_its_worker_drains_is_handed_over(
    store: MemoryStore, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder may be busy with one frame for longer than a worker is given to end."""
    monkeypatch.setattr(held_module, "HAND_BACK_S", 0.05)
    draining = threading.Event()
    with Held(store, lease, draining=draining) as held:
        draining.set()
        eventually(lambda: store.steps(lease.job_id)[lease.step].owner is None)
        again = store.acquire(lease.job_id, lease.step, "other")
        assert again is not None
        assert again.attempt == 1
        with pytest.raises(LeaseLost):
            held.finish(part_key="late")
        with pytest.raises(LeaseLost):
            held.check()
    assert store.renew(again)  # whoever has it now keeps it


def test_a_failed_step_keeps_its_lease_until_that_runs_out(store: MemoryStore, lease: Lease) -> None:
    with pytest.raises(ValueError, match="broken"), Held(store, lease, draining=threading.Event()):
        raise ValueError("broken")
    assert store.acquire(lease.job_id, lease.step, "other") is None


def test_a_step_that_stands_still_loses_its_lease(
    store: MemoryStore, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_module, "STALL_S", 0.05)
    stopped = threading.Event()
    with Held(store, lease, draining=threading.Event(), on_stop=stopped.set):
        assert stopped.wait(5)


def test_a_step_that_waits_for_what_goes_on_does_not_stand_still(
    store: MemoryStore, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_module, "STALL_S", 0.2)
    stopped = threading.Event()
    with Held(store, lease, draining=threading.Event(), on_stop=stopped.set) as held:
        with held.trusting(lambda: True):
            assert not stopped.wait(0.5)
            held.check()
        with held.trusting(within(0.1)):
            assert stopped.wait(5)
        with pytest.raises(LeaseLost):
            held.check()


def test_a_worker_that_only_its_store_has_left_lets_its_lease_run_out(
    monkeypatch: pytest.MonkeyPatch, store: MemoryStore, lease: Lease
) -> None:
    """It can't know that someone else has the step by now, so it must not go on as if nobody had."""
    stopped = threading.Event()
    renew = store.renew

    def away(*_: object, **__: object) -> bool:
        raise StoreUnavailable("cut off")

    monkeypatch.setattr(store, "renew", away)
    short = replace(lease, life_s=0.2)
    with (  # noqa: PT012
        pytest.raises(GivenBack),
        Held(store, short, draining=threading.Event(), on_stop=stopped.set) as held,
    ):
        held.check()
        assert stopped.wait(5)
        monkeypatch.setattr(store, "renew", renew)
        time.sleep(0.1)
        held.advance()  # whoever waits was told to stop, so a lease that came back is of no use
    again = store.acquire(lease.job_id, lease.step, "other")
    assert again is not None
    assert again.attempt == 1  # it did not fail


def test_a_process_that_slept_past_its_lease_knows_at_once(store: MemoryStore, lease: Lease) -> None:
    held = Held(store, replace(lease, life_s=0.05), draining=threading.Event())
    held.check()
    time.sleep(0.1)
    with pytest.raises(GivenBack):
        held.check()


def test_renewal_that_crosses_the_end_of_the_step_stops_nothing(
    store: MemoryStore, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream that `on_stop` closes is the next segment's by then."""
    renewing, finished = threading.Event(), threading.Event()
    renew, finish = store.renew, store.finish

    def late_renew(lease: Lease, *, frames_done: int = 0) -> bool:
        renewing.set()
        finished.wait(0.5)
        return renew(lease, frames_done=frames_done)

    def noted_finish(lease: Lease, **parts: Any) -> bool:
        done = finish(lease, **parts)
        finished.set()
        return done

    monkeypatch.setattr(store, "renew", late_renew)
    monkeypatch.setattr(store, "finish", noted_finish)
    stopped = threading.Event()
    with Held(store, lease, draining=threading.Event(), on_stop=stopped.set) as held:
        assert renewing.wait(5)
        held.finish(part_key="part")
    assert not stopped.is_set()
