"""The sweeper, over memory and files with a clock of its own, and once over real servers."""

import itertools
import threading
import time

import pytest

from service.errors import StorageUnavailable, StoreUnavailable, UnknownJob
from service.housekeeping.rebuilding import UNACCEPTED_S, finished_parts
from service.housekeeping.sweeper import HOUSEKEEPING_S, Sweeper
from service.jobs import keys, manifest
from service.jobs.ending import end
from service.jobs.ids import new_job_id
from service.jobs.manifest import Manifest, Plan, Segment
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Handling, Job, JobError
from service.jobs.states import JobEvent, JobState
from service.jobs.steps import FIRST_IN_LINE
from service.objects.files import FileStorage
from service.queue import CeleryQueue, celery_app
from service.settings import Settings

LEASE_S = 15.0
TTL_S = 1000.0

# A chain of three, then a shot of one.
PLAN = Plan(
    kind="video",
    source={},
    segments=(
        Segment(index=0, frame_start=0, frame_stop=10),
        Segment(index=1, frame_start=10, frame_stop=20, follows=0),
        Segment(index=2, frame_start=20, frame_stop=30, follows=1),
        Segment(index=3, frame_start=30, frame_stop=35),
    ),
    model="bicubic",
    version="0123456789abcdef",
    backend="torch",
    precision="float32",
    codec="h264",
    container="mp4",
)


class ListQueue:
    """A queue whose messages a test can read, take and lose."""

    def __init__(self):
        self.messages = []

    def enqueue(self, job_id, step):
        self.messages.append((job_id, step))

    def depth(self):
        return len(self.messages)

    def take_all(self):
        taken, self.messages = self.messages, []
        return taken


class Place:
    """One store, one storage, one queue and one sweeper under a clock that the test moves."""

    def __init__(self, folder):
        self.time_s = 1.8e9
        self.storage = FileStorage(folder)
        self.queue = ListQueue()
        self.settings = Settings(result_ttl_s=TTL_S)
        self.lose_store()

    def lose_store(self):
        self.store = MemoryStore(lease_s=LEASE_S, attempts_max=4, clock=lambda: self.time_s)
        self.sweeper = Sweeper(self.store, self.storage, self.queue, self.settings, lambda: self.time_s)

    def accept(self, *, plan=None, key=None, **fields):
        job = Job(
            id=new_job_id(lambda: self.time_s),
            kind="video",
            filename="clip.mp4",
            size_bytes=6,
            sha256="ab" * 32,
            created_at=self.time_s,
            updated_at=self.time_s,
            **fields,
        )
        self.storage.put(keys.input_key(job.id), b"upload")
        recorded = job if plan is None else self.planned(job)
        manifest.save(self.storage, Manifest(job=recorded, plan=plan, idempotency_key=key))
        self.store.create(job, idempotency_key=key)
        if plan is not None:
            self.store.set_segments(job.id, plan.segments)
            self.store.transition(job.id, JobEvent.PLANNING_STARTED)
            told = {"frames_total": plan.frame_count, "model": plan.model, "version": plan.version}
            self.store.transition(job.id, JobEvent.PLANNED, **told)
        return job.id

    def planned(self, job):
        return job.moved(JobState.PLANNING, at=self.time_s).moved(JobState.RUNNING, at=self.time_s)

    def end(self, job_id, event, **changes):
        if event is JobEvent.SUCCEED:
            self.store.transition(job_id, JobEvent.ASSEMBLY_STARTED)
        job = self.store.transition(job_id, event, **changes)
        recorded = manifest.load(self.storage, job_id)
        manifest.save(self.storage, recorded.model_copy(update={"job": job}))

    def sweep_for(self, seconds):
        for _ in range(int(seconds)):
            self.time_s += 1
            self.sweeper.sweep()

    def names(self):
        return list(self.storage.list(""))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


# Requeue


def test_where_work_waits_and_no_message_does_one_is_sent_for_each_of_a_few_steps(place):
    job_id = place.accept()
    place.sweeper.sweep()
    assert place.queue.take_all() == [(job_id, "plan")]  # read, and nothing came of it
    place.sweeper.sweep()
    assert place.queue.take_all() == [(job_id, "plan")]


def test_a_queue_that_nobody_empties_does_not_grow(place):
    for _ in range(20):
        place.accept()
    place.sweep_for(300)
    assert place.queue.depth() == FIRST_IN_LINE


def test_a_film_of_many_shots_takes_few_messages(place):
    segments = tuple(Segment(index=n, frame_start=n, frame_stop=n + 1) for n in range(1800))
    place.accept(plan=PLAN.model_copy(update={"segments": segments}))
    place.sweep_for(10)
    assert place.queue.depth() == FIRST_IN_LINE


def test_the_step_of_a_dead_worker_is_in_line_within_twenty_seconds(place):
    job_id = place.accept(plan=PLAN)
    leases = [place.store.take(name, [PLAN.runtime]) for name in ("dies", "dies too")]
    assert [lease.step for lease in leases] == ["segment/0", "segment/3"]
    place.sweep_for(14)
    assert place.queue.take_all() == []
    assert place.store.take("waits", [PLAN.runtime]) is None
    place.sweep_for(5)
    assert place.queue.take_all() == [(job_id, "segment/0"), (job_id, "segment/3")]
    assert place.store.take("takes over", [PLAN.runtime]).attempt == 2


def test_running_work_is_never_touched(place):
    job_id = place.accept(plan=PLAN)
    leases = [place.store.acquire(job_id, step, step) for step in ("segment/0", "segment/3")]
    for _ in range(200):
        place.time_s += 5
        assert all(place.store.renew(lease) for lease in leases)
        place.sweeper.sweep()
    assert place.queue.take_all() == []
    assert place.storage.exists(keys.input_key(job_id))


def test_a_step_given_back_is_queued_at_once(place):
    job_id = place.accept()
    place.store.release(place.store.acquire(job_id, "plan", "drains"))
    place.sweeper.sweep()
    assert place.queue.take_all() == [(job_id, "plan")]


@pytest.mark.parametrize("event", [JobEvent.CANCEL, JobEvent.FAIL])
def test_nothing_is_queued_for_a_job_that_has_ended(place, event):
    place.end(place.accept(plan=PLAN), event)
    place.sweep_for(60)
    assert place.queue.take_all() == []


# Expire


def test_a_result_past_its_time_goes_and_its_job_says_expired(place):
    job_id = place.accept(plan=PLAN)
    place.storage.put(keys.result_key(job_id, 1, "mp4"), b"result")
    place.end(job_id, JobEvent.SUCCEED, result_key=keys.result_key(job_id, 1, "mp4"))
    place.time_s += TTL_S - 1
    place.sweeper.sweep()
    assert place.store.get(job_id).state is JobState.SUCCEEDED
    assert keys.result_key(job_id, 1, "mp4") in place.names()

    place.time_s += 2
    place.sweeper.sweep()
    job = place.store.get(job_id)
    assert (job.state, job.result_key) == (JobState.EXPIRED, None)
    assert place.names() == []

    place.time_s += TTL_S + 1
    place.sweeper.sweep()
    with pytest.raises(UnknownJob):
        place.store.get(job_id)


def test_a_result_goes_as_early_as_its_sender_asked(place):
    job_id = place.accept(plan=PLAN, handling=Handling(ttl=60))
    place.end(job_id, JobEvent.SUCCEED, result_key=keys.result_key(job_id, 1, "mp4"))
    place.time_s += 59
    place.sweeper.sweep()
    assert place.store.get(job_id).state is JobState.SUCCEEDED
    place.time_s += 2
    place.sweeper.sweep()
    assert place.store.get(job_id).state is JobState.EXPIRED
    assert place.names() == []
    place.time_s += 61
    place.sweeper.sweep()
    with pytest.raises(UnknownJob):
        place.store.get(job_id)


def test_the_record_of_a_briefly_kept_job_stays_until_its_receiver_was_told_or_a_day_is_over(place):
    webhook = "https://example.com/"
    told, untold = (place.accept(plan=PLAN, handling=Handling(ttl=60, webhook=webhook)) for _ in range(2))
    for job_id in (told, untold):
        place.end(job_id, JobEvent.SUCCEED)
    place.sweep_for(62)
    for hook in place.store.take_hooks(9, 30):
        place.storage.put(keys.webhooks_key(hook.job_id), b"{}")
        assert place.store.settle_hook(hook, None if hook.job_id == told else place.time_s + 300)
    place.sweep_for(62)
    with pytest.raises(UnknownJob):
        place.store.get(told)
    assert place.store.get(untold).state is JobState.EXPIRED
    assert place.names() == [keys.webhooks_key(untold)]
    place.time_s += 86400
    place.sweeper.sweep()
    with pytest.raises(UnknownJob):
        place.store.get(untold)
    assert place.names() == []


@pytest.mark.parametrize("event", [JobEvent.CANCEL, JobEvent.FAIL])
def test_what_is_left_of_an_unlucky_job_goes_after_its_time(place, event):
    job_id = place.accept(plan=PLAN)
    place.storage.put(keys.part_key(job_id, 0, 1), b"part")
    place.end(job_id, event)
    place.time_s += TTL_S + 1
    place.sweeper.sweep()
    assert place.names() == []
    with pytest.raises(UnknownJob):
        place.store.get(job_id)


def test_a_running_job_never_expires(place):
    job_id = place.accept(plan=PLAN)
    place.time_s += 10 * TTL_S
    place.sweeper.sweep()
    assert place.store.get(job_id).state is JobState.RUNNING
    assert place.storage.exists(keys.input_key(job_id))


# Rebuild


def test_a_store_that_lost_everything_is_rebuilt_from_the_manifests(place):
    queued = place.accept(key="key")
    running = place.accept(plan=PLAN)
    failed, succeeded = place.accept(), place.accept(plan=PLAN)
    place.end(failed, JobEvent.FAIL, error=JobError(code="broken_media", message="It ends early."))
    place.end(succeeded, JobEvent.SUCCEED, result_key="result", report={"frames": 35}, frames_total=35)
    before = {job_id: place.store.get(job_id) for job_id in (queued, running, failed, succeeded)}

    place.lose_store()
    place.sweeper.sweep()
    for job_id, job in before.items():
        assert place.store.get(job_id).model_copy(update={"updated_at": 0.0}) == job.model_copy(
            update={"updated_at": 0.0}
        )
    assert set(place.queue.take_all()) == {
        (queued, "plan"),
        (running, "segment/0"),
        (running, "segment/3"),
    }
    again = place.store.get(queued).model_copy(update={"id": new_job_id()})
    assert place.store.create(again, idempotency_key="key").id == queued


def test_finished_parts_are_kept_and_new_fences_exceed_theirs(place):
    job_id = place.accept(plan=PLAN)
    huge = int(place.time_s) + 1000
    for index, fence in ((0, 2), (0, 10), (1, 1), (3, huge)):
        place.storage.put(keys.part_key(job_id, index, fence), b"part")
    for index, fence in ((0, 10), (1, 1)):
        place.storage.put(keys.state_key(job_id, index, fence), b"state")
    place.lose_store()
    place.sweeper.sweep()

    steps = place.store.steps(job_id)
    assert {step for step, record in steps.items() if record.done} == {"segment/0", "segment/1", "segment/3"}
    assert steps["segment/0"].part_key == keys.part_key(job_id, 0, 10)
    assert steps["segment/1"].state_key == keys.state_key(job_id, 1, 1)
    assert place.store.get(job_id).frames_done == 25
    assert list(place.store.waiting(job_id)) == ["segment/2"]
    assert place.store.acquire(job_id, "segment/2", "worker").fence > huge


def test_a_worker_that_outlived_the_store_holds_nothing_any_more(place):
    """Guards against fences that begin again at 1, where an old lease would look like a new one."""
    job_id = place.accept(plan=PLAN)
    old = place.store.acquire(job_id, "segment/0", "same owner")
    place.lose_store()
    place.sweeper.sweep()
    assert not place.store.renew(old)
    new = place.store.acquire(job_id, "segment/0", "same owner")
    assert new.fence > old.fence
    assert not place.store.renew(old)
    assert not place.store.finish(old)
    assert place.store.renew(new)


def test_a_rebuild_leaves_jobs_alone_that_the_store_knows(place):
    job_id = place.accept(plan=PLAN)
    lease = place.store.acquire(job_id, "segment/0", "worker")
    place.sweeper.rebuild()
    assert place.store.renew(lease, frames_done=3)
    assert place.store.get(job_id).frames_done == 3


def test_a_single_lost_job_is_found_by_the_next_housekeeping(place):
    job_id = place.accept()
    place.sweeper.sweep()
    place.store.delete(job_id)
    place.sweep_for(10)
    with pytest.raises(UnknownJob):
        place.store.get(job_id)
    place.time_s += HOUSEKEEPING_S
    place.sweeper.sweep()
    assert place.store.get(job_id).state is JobState.QUEUED


@pytest.mark.parametrize("event", [JobEvent.CANCEL, JobEvent.FAIL, JobEvent.SUCCEED])
def test_what_a_late_worker_left_behind_an_ended_job_goes(place, event):
    job_id = place.accept(plan=PLAN)
    result = keys.result_key(job_id, 2, "mp4")
    if event is JobEvent.SUCCEED:
        place.store.transition(job_id, JobEvent.ASSEMBLY_STARTED)
        place.storage.put(result, b"result")
    changes = {"result_key": result} if event is JobEvent.SUCCEED else {}
    end(place.store, place.storage, place.store.get(job_id), event, **changes)
    kept = place.names()
    for late in (
        keys.part_key(job_id, 1, 1),
        keys.state_key(job_id, 1, 1),
        keys.result_key(job_id, 1, "mp4"),
        keys.planned_key(job_id),
    ):
        place.storage.put(late, b"late")
    place.sweeper.rebuild()
    assert place.names() == kept


def test_a_store_with_every_job_is_complete_though_nothing_can_be_deleted(place, monkeypatch):
    job_id = place.accept(plan=PLAN)
    end(place.store, place.storage, place.store.get(job_id), JobEvent.CANCEL)
    place.storage.put(keys.part_key(job_id, 1, 1), b"late")

    def refuse(key):
        raise StorageUnavailable("AccessDenied")

    monkeypatch.setattr(place.storage, "delete", refuse)
    place.sweeper.rebuild()
    assert place.store.is_complete()


def test_a_manifest_nobody_can_read_does_not_stop_the_others(place, caplog):
    broken, whole = place.accept(), place.accept()
    place.storage.put(keys.manifest_key(broken), b"{")
    place.lose_store()
    place.sweeper.sweep()
    assert place.store.active() == [whole]
    assert "manifest_refused" in caplog.text


@pytest.mark.parametrize(
    ("parts", "states", "finished"),
    [
        ([(0, 1)], [], {}),  # its successor needs a state that is not there
        ([(0, 1)], [(0, 2)], {}),  # of another attempt
        ([(0, 1)], [(0, 1)], {0: 1}),
        ([(0, 1), (0, 2)], [(0, 1)], {0: 1}),
        ([(0, 9), (0, 10)], [(0, 9), (0, 10)], {0: 10}),  # not by the text of the name
        ([(2, 1)], [], {2: 1}),  # the last of its chain
        ([(0, 1), (1, 1), (2, 1)], [], {0: 1, 1: 1, 2: 1}),  # states go when they have been used
        ([(0, 1), (1, 1)], [], {}),
        ([], [(0, 1), (3, 1)], {}),
        ([(3, 4)], [], {3: 4}),
    ],
)
def test_a_part_counts_when_what_follows_can_go_on_from_it(parts, states, finished):
    found = {keys.part_key("x", *part) for part in parts} | {keys.state_key("x", *state) for state in states}
    result = finished_parts("x", PLAN, found)
    assert {index: part.fence for index, part in result.items()} == finished


@pytest.mark.parametrize("event", [JobEvent.CANCEL, JobEvent.FAIL])
def test_an_end_that_the_store_lost_is_found_by_the_next_housekeeping(place, event):
    job_id = place.accept(plan=PLAN)
    running = place.store.get(job_id)
    end(place.store, place.storage, running, event)
    place.store.delete(job_id)
    place.store.restore(running, segments=PLAN.segments)
    place.sweeper.rebuild()
    assert place.store.get(job_id).state.is_terminal
    assert place.store.active() == []


# Discard


def test_an_upload_that_was_never_accepted_goes_after_a_day(place):
    job_id = new_job_id(lambda: place.time_s)
    place.storage.put(keys.input_key(job_id), b"upload")
    place.time_s += UNACCEPTED_S - 1
    place.sweeper.rebuild()
    assert place.names() == [keys.input_key(job_id)]
    place.time_s += 2
    place.sweeper.rebuild()
    assert place.names() == []


def test_what_is_not_ours_stays(place):
    place.storage.put("jobs/notes/readme.txt", b"x")
    place.storage.put("models/light/latest.json", b"{}")
    place.time_s += 2 * UNACCEPTED_S
    place.sweeper.rebuild()
    assert place.names() == ["jobs/notes/readme.txt", "models/light/latest.json"]


# The loop


@pytest.mark.parametrize("loop", ["redeliver", "housekeep"])
def test_each_loop_outlives_every_error_and_stops_when_told(place, monkeypatch, caplog, loop):
    stop = threading.Event()
    errors = iter([StoreUnavailable("away"), StorageUnavailable("away"), RuntimeError("our mistake")])
    monkeypatch.setattr("service.housekeeping.sweeper.SWEEP_S", 0.001)

    def sweep():
        error = next(errors, None)
        if error is None:
            stop.set()
        else:
            raise error

    monkeypatch.setattr(place.sweeper, loop, sweep)
    thread = threading.Thread(target=place.sweeper.run, args=(stop,))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [record.getMessage() for record in caplog.records] == [
        "sweep_interrupted",
        "sweep_interrupted",
        "sweep_failed",
    ]


def test_a_storage_that_hangs_does_not_keep_steps_from_being_delivered(place, monkeypatch):
    stop, hangs = threading.Event(), threading.Event()
    monkeypatch.setattr("service.housekeeping.sweeper.SWEEP_S", 0.001)
    monkeypatch.setattr(place.storage, "list", lambda _: hangs.wait(10) and iter(()))
    job_id = place.accept()
    thread = threading.Thread(target=place.sweeper.run, args=(stop,))
    thread.start()
    try:
        until = time.monotonic() + 5
        while not place.queue.messages and time.monotonic() < until:
            time.sleep(0.01)
        assert place.queue.take_all() == [(job_id, "plan")]
    finally:
        hangs.set()
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("part", ["list", "discard_unfinished", "delete"])
def test_a_storage_without_one_permission_stops_nothing_else(place, monkeypatch, part, caplog):
    def forbidden(*_, **__):
        raise StorageUnavailable("AccessDenied")

    job_id, old = place.accept(), place.accept()
    place.end(old, JobEvent.FAIL)
    place.time_s += TTL_S + 1
    monkeypatch.setattr(place.storage, part, forbidden)
    for _ in range(2):
        place.sweeper.sweep()
    assert place.queue.take_all() == [(job_id, "plan")]
    if part != "delete":
        with pytest.raises(UnknownJob):
            place.store.get(old)
    assert "AccessDenied" in "".join(str(vars(record)) for record in caplog.records)


def test_one_job_that_can_not_be_removed_does_not_keep_the_others(place, monkeypatch, caplog):
    delete_prefix = place.storage.delete_prefix
    stuck, other = place.accept(), place.accept()
    for job_id in (stuck, other):
        place.end(job_id, JobEvent.FAIL)

    def locked(prefix):
        if stuck in prefix:
            raise StorageUnavailable("locked")
        delete_prefix(prefix)

    monkeypatch.setattr(place.storage, "delete_prefix", locked)
    place.time_s += TTL_S + 1
    place.sweeper.sweep()
    with pytest.raises(UnknownJob):
        place.store.get(other)
    monkeypatch.setattr(place.storage, "delete_prefix", delete_prefix)
    place.sweeper.sweep()
    assert place.names() == []


def test_one_job_that_can_not_be_queued_does_not_keep_the_others(place, monkeypatch):
    ids = [place.accept() for _ in range(3)]
    line_up = place.store.line_up
    monkeypatch.setattr(place.store, "line_up", lambda i: line_up(i) if i != ids[0] else {}["broken"])
    place.sweeper.sweep()
    assert set(place.queue.take_all()) == {(job_id, "plan") for job_id in ids[1:]}


def test_one_manifest_that_can_not_be_read_does_not_keep_the_others_and_is_asked_for_again(
    place, monkeypatch
):
    first, second = place.accept(), place.accept()
    place.lose_store()
    get = place.storage.get

    def forbidden(key):
        if first in key:
            raise StorageUnavailable("AccessDenied")
        return get(key)

    monkeypatch.setattr(place.storage, "get", forbidden)
    place.sweeper.sweep()
    assert place.store.active() == [second]
    monkeypatch.setattr(place.storage, "get", get)
    place.sweep_for(30)
    assert set(place.store.active()) == {first, second}


def test_two_sweepers_at_once_do_no_harm(place):
    ids = [place.accept() for _ in range(30)]
    place.lose_store()
    others = [
        Sweeper(place.store, place.storage, place.queue, place.settings, lambda: place.time_s)
        for _ in range(4)
    ]
    threads = [threading.Thread(target=sweeper.sweep) for sweeper in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(place.store.active()) == set(ids)
    assert {job_id for job_id, _ in place.queue.messages} <= set(ids)
    assert 0 < len(place.queue.messages) <= len(others) * FIRST_IN_LINE


@pytest.mark.integration
def test_a_store_that_loses_everything_under_a_live_sweeper_is_rebuilt_by_its_next_sweep(
    place, valkey, redis_store
):
    job_id = place.accept()
    place.time_s = 1.8e9  # stands still, so no housekeeping is due
    sweeper = Sweeper(redis_store, place.storage, place.queue, place.settings, lambda: place.time_s)
    sweeper.sweep()
    assert redis_store.active() == [job_id]
    valkey.flushall()
    sweeper.sweep()
    assert redis_store.active() == [job_id]


@pytest.mark.integration
def test_a_store_that_loses_everything_while_it_is_rebuilt_is_rebuilt_again(
    place, valkey, redis_store, monkeypatch
):
    """Guards against a store called complete though it lost what was restored a moment before."""
    ids = sorted(place.accept() for _ in range(2))
    place.time_s = 1.8e9
    sweeper = Sweeper(redis_store, place.storage, place.queue, place.settings, lambda: place.time_s)
    get = place.storage.get

    def get_and_lose(key):
        if key == keys.manifest_key(ids[-1]):
            monkeypatch.setattr(place.storage, "get", get)
            valkey.flushall()
        return get(key)

    monkeypatch.setattr(place.storage, "get", get_and_lose)
    sweeper.sweep()
    assert not redis_store.is_complete()
    sweeper.sweep()
    assert redis_store.active() == ids
    assert redis_store.is_complete()


def test_jobs_that_go_on_are_restored_before_those_that_are_over(place, monkeypatch):
    over = sorted(place.accept() for _ in range(3))
    for job_id in over:
        end(place.store, place.storage, place.store.get(job_id), JobEvent.FAIL)
    going_on = place.accept(plan=PLAN)
    place.lose_store()
    restored, restore = [], place.store.restore
    monkeypatch.setattr(
        place.store, "restore", lambda job, **known: restored.append(job.id) or restore(job, **known)
    )
    place.sweeper.sweep()
    assert restored == [going_on, *over]


@pytest.mark.integration
def test_a_flushed_valkey_comes_back_from_s3(valkey, valkey_url, redis_store, s3_storage):
    settings = Settings(redis_url=valkey_url, queue="sweeper-test")
    queue = CeleryQueue(celery_app(settings))
    times = itertools.count()
    sweeper = Sweeper(redis_store, s3_storage, queue, settings, lambda: next(times) * HOUSEKEEPING_S)
    now = redis_store.now()
    job = Job(
        id=new_job_id(),
        kind="video",
        filename="clip.mp4",
        size_bytes=6,
        sha256="ab" * 32,
        created_at=now,
        updated_at=now,
    )
    s3_storage.delete_prefix("jobs/")  # other tests' jobs, which would be restored as well
    s3_storage.put(keys.input_key(job.id), b"upload")
    manifest.save(s3_storage, Manifest(job=job, plan=PLAN))
    s3_storage.put(keys.part_key(job.id, 3, 1), b"part")
    try:
        valkey.flushall()
        sweeper.sweep()
        assert redis_store.get(job.id).state is JobState.RUNNING
        assert redis_store.get(job.id).frames_done == 5
        assert queue.depth() == 1
        lease = redis_store.acquire(job.id, "segment/0", "worker")
        assert lease is not None
        assert lease.fence > 1
    finally:
        manifest.forget(s3_storage, job.id)


def test_a_key_lists_the_jobs_that_an_earlier_version_stored_without_a_list(valkey, redis_store, tmp_path):
    place = Place(tmp_path)
    place.store = redis_store
    job_id = place.accept(owner="ann")
    valkey.delete("upscaled:owned:ann")
    assert redis_store.list(9, owner="ann") == ([], None)
    Sweeper(redis_store, place.storage, place.queue, place.settings).sweep()
    assert [job.id for job in redis_store.list(9, owner="ann")[0]] == [job_id]
