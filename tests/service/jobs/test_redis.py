"""What only the store in Valkey has to care for: a server that is away, restarts, or takes no writes."""

import re
import socket
import time

import pytest
import redis

from service.errors import StoreUnavailable
from service.jobs.ids import new_job_id
from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.redis.scripts import FOLDER, PRELUDES, Scripts, read_script
from service.jobs.redis.store import RedisStore
from service.jobs.states import JobEvent
from service.jobs.steps import Lease


def a_job():
    return Job(
        id=new_job_id(),
        kind="video",
        filename="clip.mp4",
        size_bytes=1,
        sha256="ab" * 32,
        created_at=1.5,
        updated_at=1.5,
    )


def every_call(store):
    job = a_job()
    lease = Lease(job_id=job.id, step="plan", owner="o", fence=1, expires_at=0.0, life_s=15, attempt=1)
    return [
        lambda: store.create(job),
        lambda: store.restore(job),
        lambda: store.get(job.id),
        lambda: store.list(10),
        lambda: store.delete(job.id),
        lambda: store.transition(job.id, JobEvent.CANCEL),
        lambda: store.conclude(job),
        lambda: store.add_notices(job.id, ["a notice"]),
        lambda: store.set_segments(job.id, [Segment(index=0, frame_start=0, frame_stop=1)]),
        lambda: store.acquire(job.id, "plan", "o"),
        lambda: store.renew(lease),
        lambda: store.release(lease),
        lambda: store.finish(lease),
        lambda: store.steps(job.id),
        lambda: store.waiting(job.id),
        lambda: store.take("o", ["torch-cpu float32"]),
        lambda: store.line_up(job.id),
        lambda: store.announce(["torch-cpu float32"]),
        lambda: store.is_served("torch-cpu float32"),
        store.active,
        lambda: store.finished_before(1.0),
        store.queue_depth,
        store.counts,
        store.memory_used,
        store.now,
        store.is_complete,
        store.epoch,
        lambda: store.mark_complete("epoch"),
        lambda: store.claim("key", job.id),
        store.ping,
    ]


def test_every_call_says_so_when_the_server_is_away():
    store = RedisStore.connect("redis://127.0.0.1:9/0", lease_s=15, attempts_max=4)
    for call in every_call(store):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            call()
        assert time.monotonic() - started < 5
    store.close()


def test_a_server_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr("service.jobs.redis.client.ANSWER_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = RedisStore.connect(f"redis://127.0.0.1:{port}/0", lease_s=15, attempts_max=4)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.ping()
        assert time.monotonic() - started < 5
        store.close()


@pytest.fixture
def full(valkey):
    """Call it, and the server has no memory left."""
    yield lambda: valkey.config_set("maxmemory", 1)
    valkey.config_set("maxmemory", 0)


def test_a_server_without_memory_takes_no_job_and_keeps_what_it_has(full, redis_store):
    job = redis_store.create(a_job())
    full()
    for call in (
        lambda: redis_store.create(a_job()),
        lambda: redis_store.restore(a_job()),
        lambda: redis_store.claim("key", job.id),
        lambda: redis_store.set_segments(job.id, [Segment(index=0, frame_start=0, frame_stop=1)]),
        redis_store.ping,
    ):
        with pytest.raises(StoreUnavailable):
            call()
    assert redis_store.get(job.id) == job


def test_a_server_without_memory_lets_jobs_go_on_end_and_go(full, redis_store):
    """Or it would never have memory again."""
    first, second = (redis_store.create(a_job()) for _ in range(2))
    redis_store.set_segments(first.id, [Segment(index=0, frame_start=0, frame_stop=1)])
    full()
    lease = redis_store.acquire(first.id, "plan", "planner")
    redis_store.transition(first.id, JobEvent.PLANNING_STARTED, lease=lease)
    redis_store.transition(first.id, JobEvent.PLANNED, lease=lease)
    assert redis_store.renew(lease)
    assert redis_store.finish(lease)
    redis_store.announce(["torch-cpu float32"])
    assert redis_store.take("worker of the second", []).job_id == second.id
    redis_store.release(redis_store.take("drains", []))
    assert redis_store.line_up(first.id).first == ("segment/0",)
    assert redis_store.finish(redis_store.acquire(first.id, "segment/0", "worker"), part_key="part")
    redis_store.add_notices(first.id, ["short of memory"])
    redis_store.transition(first.id, JobEvent.ASSEMBLY_STARTED)
    redis_store.conclude(redis_store.get(first.id).after(JobEvent.SUCCEED, at=2.0))
    redis_store.transition(first.id, JobEvent.EXPIRE)
    redis_store.transition(second.id, JobEvent.CANCEL)
    for job in (first, second):
        redis_store.delete(job.id)
    assert redis_store.list(10) == ([], None)


def test_nothing_but_the_job_itself_is_left_once_it_has_ended(valkey, redis_store):
    """A segment's record has 0.9 kB, and a film 1,800 segments."""
    ended, restored = a_job(), a_job().after(JobEvent.FAIL, at=2.0)
    redis_store.create(ended)
    redis_store.set_segments(ended.id, [Segment(index=0, frame_start=0, frame_stop=1)])
    redis_store.transition(ended.id, JobEvent.CANCEL)
    redis_store.restore(restored)
    for job in (ended, restored):
        assert valkey.keys(f"*{job.id}*") == [f"upscaled:job:{job.id}"]
        assert redis_store.steps(job.id) == {}


def test_the_share_of_memory_in_use_is_told(valkey, redis_store):
    assert redis_store.memory_used() == 0.0  # there is no limit
    used = valkey.info("memory")["used_memory"]
    valkey.config_set("maxmemory", 2 * used)
    try:
        assert 0.4 < redis_store.memory_used() < 0.7
    finally:
        valkey.config_set("maxmemory", 0)


def test_a_mistake_of_ours_is_not_taken_for_a_server_that_is_away(valkey, redis_store):
    valkey.set("upscaled:jobs", "not a sorted set")
    with pytest.raises(redis.ResponseError):
        redis_store.list(1)


def test_scripts_are_sent_again_to_a_server_that_forgot_them(valkey, redis_store):
    job = redis_store.create(a_job())
    valkey.script_flush()
    assert redis_store.acquire(job.id, "plan", "worker") is not None


SCRIPTS = sorted({path.stem for path in FOLDER.glob("*.lua")} - set(PRELUDES))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_uses_all_it_takes_and_by_name_alone(name):
    taken = set(read_script(name).takes)
    prelude = "".join((FOLDER / f"{each}.lua").read_text() for each in PRELUDES)
    code = re.sub("--.*", "", (FOLDER / f"{name}.lua").read_text())
    assert not re.search("ARGV|KEYS", code)
    assert set(re.findall(r"\w+", code)) >= taken
    assert not taken & set(re.findall(r"^local function (\w+)", prelude, re.MULTILINE)), "it would hide them"


@pytest.mark.parametrize("given", [{}, {"id": "a"}, {"runtime": "a", "step": "plan"}, {"runtimes": "a"}])
def test_a_script_that_gets_anything_but_what_it_takes_is_not_run(valkey, given):
    with pytest.raises(AssertionError, match="taken"):
        Scripts(valkey).run("is_served", **given)


def test_dropped_connections_are_made_again(valkey_url, valkey):
    store = RedisStore.connect(valkey_url, lease_s=15, attempts_max=4)
    store.ping()
    valkey.client_kill_filter(_type="normal", skipme=True)
    store.ping()
    store.close()


def test_times_keep_their_fractions_through_the_server(redis_store):
    job = redis_store.create(a_job())
    assert redis_store.get(job.id).created_at == 1.5
    lease = redis_store.acquire(job.id, "plan", "worker")
    assert lease.expires_at % 1 != 0
    assert redis_store.steps(job.id)["plan"].expires_at == lease.expires_at
    assert abs(lease.expires_at - redis_store.now() - 15) < 1
