"""What every job store keeps: memory, and a real Valkey."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import IdempotencyConflict, IllegalTransition, TooManyAttempts, UnknownJob
from service.jobs.ids import new_job_id
from service.jobs.index import Placed
from service.jobs.manifest import Segment
from service.jobs.memory import store as memory_store
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Handling, Job, JobError, Options
from service.jobs.redis import store as redis_store
from service.jobs.redis.store import RedisStore
from service.jobs.states import JobEvent, JobState
from service.jobs.steps import Superseded
from service.jobs.store import FinishedPart

LEASE_S = 0.2
ATTEMPTS_MAX = 3

# Two shots: the first is a chain of two segments, the second is one.
SEGMENTS = (
    Segment(index=0, frame_start=0, frame_stop=10),
    Segment(index=1, frame_start=10, frame_stop=15, follows=0),
    Segment(index=2, frame_start=15, frame_stop=20),
)


@pytest.fixture(params=["memory", "redis"])
def make_store(request):
    """Makes a store with the lease and the attempts a test wants."""

    def make(*, lease_s=15.0, attempts_max=ATTEMPTS_MAX):
        if request.param == "memory":
            return MemoryStore(lease_s=lease_s, attempts_max=attempts_max)
        return RedisStore(request.getfixturevalue("valkey"), lease_s=lease_s, attempts_max=attempts_max)

    return make


@pytest.fixture
def store(make_store):
    return make_store()


def a_job(**changes):
    now = time.time()
    fields = {
        "id": new_job_id(),
        "kind": "video",
        "filename": "clip.mp4",
        "size_bytes": 1000,
        "sha256": "ab" * 32,
        "created_at": now,
        "updated_at": now,
    }
    return Job(**{**fields, **changes})


def planned(store, segments=SEGMENTS):
    """A job whose segments can run; returns its id."""
    job = store.create(a_job())
    lease = store.acquire(job.id, "plan", "planner")
    store.transition(job.id, JobEvent.PLANNING_STARTED)
    assert store.set_segments(job.id, segments)
    store.transition(job.id, JobEvent.PLANNED, frames_total=segments[-1].frame_stop)
    assert store.finish(lease)
    return job.id


def run(store, job_id, step, **keys):
    lease = store.acquire(job_id, step, "worker")
    assert lease is not None, step
    assert store.finish(lease, **keys)


# Jobs


def test_a_job_comes_back_as_it_was_stored(store):
    handling = Handling(metadata={"Urlaub": "été, № 1"}, ttl=60.5)
    options = Options(scale=2, model="light", start=1.5)
    job = a_job(options=options, handling=handling, filename="été, № 1.mp4")
    assert store.create(job) == job
    assert store.get(job.id) == job


def test_an_unknown_job_is_said_to_be_unknown(store):
    job_id = new_job_id()
    for ask in (
        store.get,
        lambda i: store.add_notices(i, ["a notice"]),
        lambda i: store.transition(i, JobEvent.CANCEL),
        lambda i: store.set_segments(i, SEGMENTS),
    ):
        with pytest.raises(UnknownJob):
            ask(job_id)
    assert store.acquire(job_id, "plan", "worker") is None
    assert list(store.waiting(job_id)) == []
    assert store.steps(job_id) == {}
    assert store.take("worker", [], told=(job_id, "plan")) is None
    assert store.line_up(job_id) is None
    store.delete(job_id)
    assert store.steps(job_id) == {}


def test_the_same_key_and_request_give_the_same_job(store):
    first = store.create(a_job(), idempotency_key="key")
    assert store.create(a_job(), idempotency_key="key") == first
    assert store.queue_depth() == 1
    assert store.create(a_job(), idempotency_key="another key").id != first.id
    assert store.create(a_job()).id != first.id


@pytest.mark.parametrize(
    "changes", [{"sha256": "cd" * 32}, {"options": Options(scale=2)}, {"handling": Handling(ttl=9)}]
)
def test_the_same_key_with_another_request_is_a_conflict(store, changes):
    first = store.create(a_job(), idempotency_key="key")
    with pytest.raises(IdempotencyConflict):
        store.create(a_job(**changes), idempotency_key="key")
    store.transition(first.id, JobEvent.CANCEL)
    with pytest.raises(IdempotencyConflict):
        store.create(a_job(**changes), idempotency_key="key")


def test_a_key_is_free_again_when_its_job_is_deleted(store):
    first = store.create(a_job(), idempotency_key="key")
    store.delete(first.id)
    second = store.create(a_job(sha256="cd" * 32), idempotency_key="key")
    assert store.get(second.id) == second
    with pytest.raises(UnknownJob):
        store.get(first.id)


def test_a_key_is_claimed_by_one_job_until_that_is_given_up(store):
    assert store.claim("key", "first") == "first"
    assert store.claim("key", "first") == "first"
    assert store.claim("key", "second") == "first"
    assert store.claim("another key", "second") == "second"
    assert store.claim("key", "second", instead_of="first") == "second"
    assert store.claim("key", "third", instead_of="first") == "second"


def test_a_claim_ends(store, monkeypatch):
    for module in (memory_store, redis_store):
        monkeypatch.setattr(module, "CLAIM_S", 1.0)
    assert store.claim("key", "first") == "first"
    time.sleep(1.1)
    assert store.claim("key", "second") == "second"


def test_a_store_is_complete_when_it_was_filled_in_one_epoch(store):
    assert not store.is_complete()
    epoch = store.epoch()
    assert store.epoch() == epoch
    store.mark_complete(epoch)
    assert store.is_complete()


def test_of_many_who_create_with_one_key_at_once_all_get_one_job(store):
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: store.create(a_job(), idempotency_key="key"), range(16)))
    assert len({job.id for job in jobs}) == 1
    assert store.queue_depth() == 1


def test_a_transition_moves_the_state_and_sets_fields_in_one_stroke(store):
    job_id = planned(store)
    error = JobError(code="broken_media", message="The file ends early.", field="file", value=17)
    failed = store.transition(job_id, JobEvent.FAIL, error=error)
    assert (failed.state, failed.error) == (JobState.FAILED, error)
    assert failed.frames_total == 20
    assert store.get(job_id) == failed


def test_an_illegal_transition_changes_nothing(store):
    job = store.create(a_job())
    with pytest.raises(IllegalTransition):
        store.transition(job.id, JobEvent.SUCCEED, result_key="jobs/x/result.mp4")
    assert store.get(job.id) == job


def test_changes_are_checked_before_they_are_stored(store):
    job = store.create(a_job())
    with pytest.raises(ValueError, match="frames_total"):
        store.transition(job.id, JobEvent.PLANNING_STARTED, frames_total="many")
    with pytest.raises(AssertionError):
        store.transition(job.id, JobEvent.PLANNING_STARTED, state=JobState.FAILED)
    assert store.get(job.id) == job


def test_a_notice_is_kept_once_in_the_order_they_came(store):
    job = store.create(a_job())
    store.add_notices(job.id, [])
    assert store.get(job.id).state is JobState.QUEUED
    store.add_notices(job.id, ["über", "b"])
    store.add_notices(job.id, ["c", "über", "c"])
    assert store.get(job.id).report == {"notices": ["über", "b", "c"]}


def test_only_the_newest_holder_of_a_step_moves_its_job(make_store):
    store = make_store(lease_s=LEASE_S)
    job = store.create(a_job())
    late = store.acquire(job.id, "plan", "late")
    store.transition(job.id, JobEvent.PLANNING_STARTED, lease=late)
    time.sleep(LEASE_S * 1.5)
    newest = store.acquire(job.id, "plan", "newest")
    store.set_segments(job.id, SEGMENTS)
    with pytest.raises(Superseded):
        store.transition(job.id, JobEvent.PLANNED, lease=late)
    assert store.get(job.id).state is JobState.PLANNING
    assert store.transition(job.id, JobEvent.PLANNED, lease=newest).state is JobState.RUNNING


def test_jobs_are_listed_newest_first_page_by_page(store):
    ids = [store.create(a_job(id=new_job_id(lambda at=at: 1e9 + at))).id for at in range(7)]
    random.Random(0).shuffle(ids)
    pages, cursor = [], None
    while True:
        jobs, cursor = store.list(3, cursor)
        pages.append([job.id for job in jobs])
        if cursor is None:
            break
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [job_id for page in pages for job_id in page] == sorted(ids, reverse=True)
    assert store.list(7)[1] is None


def test_states_are_counted(store):
    first, second = store.create(a_job()), store.create(a_job())
    store.transition(first.id, JobEvent.CANCEL)
    assert store.counts()[JobState.QUEUED] == 1
    assert store.counts()[JobState.CANCELLED] == 1
    assert store.counts()[JobState.RUNNING] == 0
    assert store.queue_depth() == 1
    assert store.active() == [second.id]
    store.delete(first.id)
    store.delete(second.id)
    assert set(store.counts().values()) == {0}
    assert store.active() == []


def test_ended_jobs_are_found_by_the_time_of_their_end(store):
    ended, running = store.create(a_job()), store.create(a_job())
    store.transition(ended.id, JobEvent.CANCEL)
    assert store.finished_before(store.now() + 1) == [ended.id]
    assert store.finished_before(store.now() - 60) == []
    store.delete(ended.id)
    assert store.finished_before(store.now() + 1) == []
    assert store.active() == [running.id]


def test_an_owner_has_a_list_of_jobs_newest_first_page_by_page(store):
    ids = {owner: [] for owner in ("ann", "bob", None)}
    for at in range(9):
        owner = list(ids)[at % 3]
        ids[owner].append(store.create(a_job(id=new_job_id(lambda at=at: 1e9 + at), owner=owner)).id)
    jobs, cursor = store.list(2, owner="ann")
    assert ([job.id for job in jobs], cursor) == (ids["ann"][:0:-1], ids["ann"][1])
    jobs, cursor = store.list(2, cursor, owner="ann")
    assert ([job.id for job in jobs], cursor) == (ids["ann"][:1], None)
    assert store.list(9, owner="nobody") == ([], None)
    assert len(store.list(9)[0]) == 9


def test_a_list_of_an_owner_loses_what_is_deleted_and_has_what_is_put_back(store):
    job = store.create(a_job(owner="ann"))
    store.delete(job.id)
    assert store.list(9, owner="ann") == ([], None)
    store.restore(job)
    store.index_owner(job.id)
    assert store.list(9, owner="ann") == ([job], None)
    store.index_owner(new_job_id())


def test_a_job_knows_when_it_was_begun_planned_and_ended_for_the_first_time(store):
    before = store.now()
    job = store.create(a_job())
    assert (job.started_at, job.planned_at, job.finished_at) == (None, None, None)
    begun = store.transition(job.id, JobEvent.PLANNING_STARTED)
    again = store.transition(job.id, JobEvent.PLANNING_STARTED)
    planned = store.transition(job.id, JobEvent.PLANNED)
    store.transition(job.id, JobEvent.ASSEMBLY_STARTED)
    ended = store.transition(job.id, JobEvent.SUCCEED)
    expired = store.transition(job.id, JobEvent.EXPIRE)
    assert before - 0.01 <= begun.started_at == again.started_at == expired.started_at
    assert begun.started_at <= planned.planned_at == expired.planned_at <= ended.finished_at
    assert expired.finished_at == ended.finished_at <= store.now()


def test_an_end_that_the_manifest_tells_of_keeps_its_time(store):
    job = store.create(a_job())
    ended = job.after(JobEvent.CANCEL, at=job.created_at + 7)
    assert store.conclude(ended).finished_at == job.created_at + 7
    unknown = a_job().after(JobEvent.CANCEL, at=3.0)
    assert store.conclude(unknown).finished_at == 3.0


def test_jobs_with_a_time_to_live_of_their_own_are_found_when_that_is_over(store):
    brief = store.create(a_job(handling=Handling(ttl=30)))
    store.create(a_job(handling=Handling(ttl=30)))
    store.transition(store.create(a_job()).id, JobEvent.CANCEL)
    store.transition(brief.id, JobEvent.CANCEL)
    assert store.brief_before(store.now() + 31) == [brief.id]
    assert store.brief_before(store.now() + 29) == []
    store.delete(brief.id)
    assert store.brief_before(store.now() + 31) == []
    store.restore(a_job(id=brief.id, handling=Handling(ttl=30)).after(JobEvent.CANCEL, at=store.now() - 20))
    assert store.brief_before(store.now() + 11) == [brief.id]


# What can run


def test_only_the_plan_can_run_before_the_plan(store):
    job = store.create(a_job())
    assert list(store.waiting(job.id)) == ["plan"]
    assert store.acquire(job.id, "segment/0", "worker") is None
    assert store.acquire(job.id, "assemble", "worker") is None
    assert store.acquire(job.id, "plan", "worker") is not None


def test_segments_run_when_their_predecessor_is_done_and_assembly_when_all_are(store):
    job_id = planned(store)
    assert list(store.waiting(job_id)) == ["segment/0", "segment/2"]
    for step in ("plan", "segment/1", "assemble", "segment/3", "nonsense"):
        assert store.acquire(job_id, step, "worker") is None
    run(store, job_id, "segment/0", part_key="part 0", state_key="state 0")
    assert list(store.waiting(job_id)) == ["segment/1", "segment/2"]
    run(store, job_id, "segment/2", part_key="part 2")
    assert store.acquire(job_id, "assemble", "worker") is None
    run(store, job_id, "segment/1", part_key="part 1")
    assert list(store.waiting(job_id)) == ["assemble"]

    steps = store.steps(job_id)
    assert list(steps) == ["plan", "segment/0", "segment/1", "segment/2", "assemble"]
    assert (steps["segment/0"].part_key, steps["segment/0"].state_key) == ("part 0", "state 0")
    assert (steps["segment/2"].part_key, steps["segment/2"].state_key) == ("part 2", None)
    assert [step for step, record in steps.items() if not record.done] == ["assemble"]


def test_assembly_can_begin_again_after_its_worker_died(make_store):
    store = make_store(lease_s=LEASE_S)
    job_id = planned(store, SEGMENTS[:1])
    run(store, job_id, "segment/0")
    store.acquire(job_id, "assemble", "dies")
    store.transition(job_id, JobEvent.ASSEMBLY_STARTED)
    time.sleep(LEASE_S * 1.5)
    assert list(store.waiting(job_id)) == ["assemble"]
    assert store.acquire(job_id, "assemble", "worker") is not None
    store.transition(job_id, JobEvent.ASSEMBLY_STARTED)
    store.transition(job_id, JobEvent.SUCCEED, result_key="result")
    assert store.get(job_id).state is JobState.SUCCEEDED


def test_a_second_plan_replaces_the_first_until_the_job_runs(store):
    job = store.create(a_job())
    assert store.set_segments(job.id, SEGMENTS)
    assert store.set_segments(job.id, SEGMENTS[:1])
    store.transition(job.id, JobEvent.PLANNING_STARTED)
    store.transition(job.id, JobEvent.PLANNED)
    assert list(store.waiting(job.id)) == ["segment/0"]
    assert not store.set_segments(job.id, SEGMENTS)
    run(store, job.id, "segment/0")
    assert list(store.waiting(job.id)) == ["assemble"]
    assert list(store.steps(job.id)) == ["plan", "segment/0", "assemble"]


@pytest.mark.parametrize("event", [JobEvent.CANCEL, JobEvent.FAIL])
def test_nothing_runs_once_the_job_has_ended(store, event):
    job_id = planned(store)
    lease = store.acquire(job_id, "segment/0", "worker")
    store.transition(job_id, event)
    assert not store.renew(lease, frames_done=5)
    assert not store.finish(lease, part_key="part")
    assert list(store.waiting(job_id)) == []
    assert store.acquire(job_id, "segment/2", "worker") is None
    assert store.get(job_id).frames_done == 0


# Leases


def test_a_step_has_one_holder_at_a_time(store):
    job_id = planned(store)
    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(lambda n: store.acquire(job_id, "segment/0", f"worker {n}"), range(16)))
    assert sum(lease is not None for lease in leases) == 1
    assert list(store.waiting(job_id)) == ["segment/2"]


def test_a_lease_that_is_not_renewed_goes_to_the_next_with_a_larger_fence(make_store):
    store = make_store(lease_s=LEASE_S)
    job_id = planned(store)
    dead = store.acquire(job_id, "segment/0", "dies")
    assert store.acquire(job_id, "segment/0", "waits") is None
    time.sleep(LEASE_S * 1.5)
    assert "segment/0" in store.waiting(job_id)
    alive = store.acquire(job_id, "segment/0", "takes over")
    assert alive.fence > dead.fence
    assert (dead.attempt, alive.attempt) == (1, 2)

    assert not store.renew(dead)
    assert not store.finish(dead, part_key="late")
    store.release(dead)
    assert store.renew(alive)
    assert store.finish(alive, part_key="right", seconds={"encode": 1.5})
    assert store.steps(alive.job_id)[alive.step].seconds == {"encode": 1.5}
    assert not store.finish(dead, part_key="later")
    assert store.steps(job_id)["segment/0"].part_key == "right"


def test_a_renewed_lease_lasts(make_store):
    store = make_store(lease_s=LEASE_S)
    job_id = planned(store)
    lease = store.acquire(job_id, "segment/0", "worker")
    for _ in range(4):
        time.sleep(LEASE_S / 2)
        assert store.renew(lease)
    assert store.acquire(job_id, "segment/0", "another") is None
    assert store.steps(job_id)["segment/0"].expires_at > lease.expires_at


def test_an_expired_lease_is_good_until_someone_takes_over(make_store):
    store = make_store(lease_s=LEASE_S)
    job_id = planned(store)
    lease = store.acquire(job_id, "segment/0", "slow")
    time.sleep(LEASE_S * 1.5)
    assert store.renew(lease)
    assert store.acquire(job_id, "segment/0", "another") is None


def test_a_done_step_is_not_given_out_again(store):
    job_id = planned(store)
    lease = store.acquire(job_id, "segment/0", "worker")
    assert store.finish(lease, part_key="part")
    assert store.acquire(job_id, "segment/0", "another") is None
    assert not store.renew(lease)
    store.release(lease)
    assert store.finish(lease, part_key="asked again")
    record = store.steps(job_id)["segment/0"]
    assert (record.done, record.part_key) == (True, "part")


def test_a_lease_given_back_costs_no_attempt_and_the_step_can_run_at_once(store):
    job_id = planned(store)
    for _ in range(ATTEMPTS_MAX * 2):
        lease = store.acquire(job_id, "segment/0", "drains")
        assert lease.attempt == 1
        store.release(lease)
        assert not store.renew(lease)
        assert not store.finish(lease)
        assert "segment/0" in store.waiting(job_id)


def test_a_step_begun_too_often_is_refused_by_name(make_store):
    store = make_store(lease_s=0.05)
    job_id = planned(store)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert store.acquire(job_id, "segment/2", "dies").attempt == attempt
        time.sleep(0.08)
    assert "segment/2" in store.waiting(job_id)
    with pytest.raises(TooManyAttempts, match="segment/2 was begun 3 times"):
        store.acquire(job_id, "segment/2", "worker")
    assert store.acquire(job_id, "segment/0", "worker") is not None


# Progress


def test_progress_counts_frames_of_segments_and_never_falls(make_store):
    store = make_store(lease_s=LEASE_S)
    job_id = planned(store)
    first = store.acquire(job_id, "segment/0", "dies")
    other = store.acquire(job_id, "segment/2", "worker")
    store.renew(first, frames_done=7)
    store.renew(other, frames_done=2)
    assert store.get(job_id).frames_done == 9
    store.renew(first, frames_done=4)
    assert store.get(job_id).frames_done == 9
    time.sleep(LEASE_S * 1.5)
    again = store.acquire(job_id, "segment/0", "begins anew")
    store.renew(again, frames_done=1)
    assert store.get(job_id).frames_done == 9
    store.renew(again, frames_done=1000)
    assert store.get(job_id).frames_done == 12
    store.finish(again)
    assert store.get(job_id).frames_done == 12
    store.finish(other)
    assert store.get(job_id).frames_done == 15
    assert store.steps(job_id)["segment/0"].frames_done == 10


def test_frames_seen_while_planning_are_no_progress(store):
    job = store.create(a_job())
    lease = store.acquire(job.id, "plan", "planner")
    assert store.renew(lease, frames_done=100)
    assert store.get(job.id).frames_done == 0


def test_the_plan_of_a_picture_can_run_again_in_every_state_until_the_job_has_ended(make_store):
    store = make_store(lease_s=0.0, attempts_max=9)
    job = store.create(a_job(kind="image"))
    for event in (
        JobEvent.PLANNING_STARTED,
        JobEvent.PLANNED,
        JobEvent.ASSEMBLY_STARTED,
        JobEvent.SUCCEED,
    ):
        assert list(store.waiting(job.id)) == ["plan"]
        assert store.acquire(job.id, "plan", f"dies before {event}") is not None
        store.transition(job.id, event)
    assert list(store.waiting(job.id)) == []
    assert store.acquire(job.id, "plan", "comes late") is None


def test_the_plan_of_a_picture_makes_its_one_frame(store):
    job = store.create(a_job(kind="image"))
    lease = store.acquire(job.id, "plan", "worker")
    assert store.renew(lease, frames_done=1)
    assert store.renew(lease, frames_done=5)
    assert store.get(job.id).frames_done == 1


# Restoring


def test_a_restored_job_goes_on_from_its_finished_parts_under_larger_fences(store):
    job = a_job(state=JobState.RUNNING, frames_total=20)
    parts = {0: FinishedPart(fence=7, part_key="part 0", state_key="state 0")}
    restore = {"segments": SEGMENTS, "parts": parts, "fence_floor": 7, "idempotency_key": "key"}
    assert store.restore(job, **restore)
    assert not store.restore(job, **restore)

    assert store.get(job.id).frames_done == 10
    assert list(store.waiting(job.id)) == ["segment/1", "segment/2"]
    assert store.steps(job.id)["segment/0"].part_key == "part 0"
    assert store.acquire(job.id, "segment/1", "worker").fence == 8
    assert store.create(a_job(), idempotency_key="key").id == job.id
    assert store.active() == [job.id]


def test_a_job_restored_with_all_its_parts_can_be_assembled(store):
    job = a_job(state=JobState.RUNNING)
    parts = {n: FinishedPart(fence=1, part_key=f"part {n}", state_key=None) for n in range(3)}
    assert store.restore(job, segments=SEGMENTS, parts=parts, fence_floor=1)
    assert list(store.waiting(job.id)) == ["assemble"]


def test_a_job_restored_before_its_plan_is_planned_again(store):
    job = a_job()
    assert store.restore(job, fence_floor=41)
    assert store.acquire(job.id, "plan", "worker").fence == 42
    store.set_segments(job.id, SEGMENTS)
    store.transition(job.id, JobEvent.PLANNING_STARTED)
    store.transition(job.id, JobEvent.PLANNED)
    assert store.acquire(job.id, "segment/0", "worker").fence == 42


def test_an_ended_job_is_restored_as_it_ended(store):
    job = a_job(state=JobState.SUCCEEDED, result_key="result", updated_at=1e9, frames_done=20)
    assert store.restore(job)
    assert store.get(job.id) == job
    assert store.active() == []
    assert store.finished_before(1e9 + 1) == [job.id]
    assert store.counts()[JobState.SUCCEEDED] == 1


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_a_job_becomes_what_its_manifest_says_that_it_ended_as(store, state, is_known):
    job_id = planned(store)
    lease = store.acquire(job_id, "segment/0", "worker")
    store.renew(lease, frames_done=7)
    ended = store.get(job_id).model_copy(update={"state": state, "result_key": "result", "frames_done": 4})
    if not is_known:
        store.delete(job_id)
    for _ in range(2):  # asked again, it is the same
        job = store.conclude(ended, idempotency_key="key")
        assert (job.state, job.result_key, job.frames_done) == (state, "result", 7 if is_known else 4)
        assert store.get(job_id) == job
        assert store.active() == []
        assert {state: count for state, count in store.counts().items() if count} == {state: 1}
        assert store.finished_before(store.now() + 1) == [job_id]
    assert not store.renew(lease)


def test_a_job_that_has_ended_stays_so_but_its_result_may_expire(store):
    job_id = planned(store)
    running = store.get(job_id)
    succeeded = store.conclude(running.model_copy(update={"state": JobState.SUCCEEDED}))
    assert store.conclude(running.model_copy(update={"state": JobState.FAILED})) == succeeded
    expired = running.model_copy(update={"state": JobState.EXPIRED})
    assert store.conclude(expired).state is JobState.EXPIRED
    assert store.conclude(succeeded).state is JobState.EXPIRED


def test_creating_a_job_that_a_sweeper_restored_a_moment_ago_keeps_it(store):
    job = a_job()
    store.restore(job)
    lease = store.acquire(job.id, "plan", "worker")
    assert store.create(job, idempotency_key="key").id == job.id
    assert store.renew(lease)
    assert store.create(a_job(), idempotency_key="key").id == job.id


def test_a_restored_job_does_not_take_the_key_of_another(store):
    first, second = store.create(a_job(), idempotency_key="key"), a_job()
    assert store.restore(second, idempotency_key="key")
    assert store.create(a_job(), idempotency_key="key").id == first.id
    store.delete(second.id)
    assert store.create(a_job(), idempotency_key="key").id == first.id


def test_everything_of_a_deleted_job_is_gone(store):
    job_id = planned(store)
    lease = store.acquire(job_id, "segment/0", "worker")
    store.delete(job_id)
    assert not store.renew(lease)
    assert not store.finish(lease)
    store.release(lease)
    assert store.steps(job_id) == {}
    assert store.list(10) == ([], None)


def test_holders_in_many_threads_finish_each_step_once(make_store):
    """A small race of everything: workers that take, lose, give back and finish steps at random."""
    store = make_store(lease_s=0.03, attempts_max=1000)
    job_id = planned(store)
    finished, lock = [], threading.Lock()
    stop_at = time.monotonic() + 10

    def work(number):
        chance = random.Random(number)
        while time.monotonic() < stop_at and list(store.waiting(job_id)) != ["assemble"]:
            for step in store.waiting(job_id):
                lease = store.acquire(job_id, step, f"{number}-{chance.random()}")
                if lease is None or step == "assemble":
                    continue
                time.sleep(chance.choice([0, 0.01, 0.06]))
                if chance.random() < 0.3:
                    store.release(lease)
                elif chance.random() < 0.7 and store.finish(lease, part_key=f"{step}-{lease.fence}"):
                    with lock:
                        finished.append((step, lease.fence))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sorted(step for step, _ in finished) == ["segment/0", "segment/1", "segment/2"]
    steps = store.steps(job_id)
    assert all(steps[step].part_key == f"{step}-{fence}" for step, fence in finished)
    assert store.get(job_id).frames_done == 20


def test_ping_answers(store):
    store.ping()


def test_jobs_that_nobody_has_looked_into_are_numbered_by_when_they_came(store):
    jobs = [store.create(a_job(created_at=1000.0 + number)) for number in range(4)]
    ids = [job.id for job in jobs]
    assert store.positions(ids) == dict(zip(ids, range(4), strict=True))
    assert store.look(ids) == {job.id: Placed(job, place) for place, job in enumerate(jobs)}
    store.transition(ids[0], JobEvent.PLANNING_STARTED)
    store.delete(ids[1])
    store.transition(ids[2], JobEvent.CANCEL)
    assert store.positions(ids) == {ids[3]: 0}
    seen = store.look([*ids, "never"])
    assert {job_id: placed.position for job_id, placed in seen.items()} == {
        ids[0]: None,
        ids[2]: None,
        ids[3]: 0,
    }
    assert [seen[job_id].job for job_id in seen] == [store.get(job_id) for job_id in seen]
    assert store.look([]) == {}
    assert store.restore(a_job(created_at=999.0))
    assert store.positions([ids[3]]) == {ids[3]: 1}
