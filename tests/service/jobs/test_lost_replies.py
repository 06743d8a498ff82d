"""The store behind a connection that loses one reply after the server has done what was asked.

The client sends the request again, so every move must be one that can be repeated.
"""

import contextlib

import pytest

from service.jobs.ids import new_job_id
from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.redis.store import RedisStore
from service.jobs.states import JobEvent, JobState
from tests.proxies import dropping

SEGMENTS = [
    Segment(index=0, frame_start=0, frame_stop=4),
    Segment(index=1, frame_start=4, frame_stop=8, follows=0),
    Segment(index=2, frame_start=8, frame_stop=10),
]

RUNTIMES = ["torch-cpu float32"]

pytestmark = pytest.mark.integration


@pytest.fixture
def proxy(valkey, valkey_url):
    with dropping(valkey_url) as made:
        yield made


@pytest.fixture
def store(proxy):
    with contextlib.closing(RedisStore.connect(proxy.url, lease_s=15, attempts_max=2)) as made:
        yield made


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


def live(store):
    """A whole life as API and worker lead it, one step given back on the way; returns the job's id."""
    job_id = store.create(a_job(), idempotency_key="key").id
    lease = store.take("planner", RUNTIMES, told=(job_id, "plan"))
    store.transition(job_id, JobEvent.PLANNING_STARTED)
    assert store.set_segments(job_id, SEGMENTS, RUNTIMES[0])
    store.transition(job_id, JobEvent.PLANNED, frames_total=10)
    assert store.finish(lease)
    store.release(store.acquire(job_id, "segment/0", "drains"))
    for segment in SEGMENTS:
        lease = store.take(f"worker {segment.index}", RUNTIMES)
        assert (lease.step, lease.attempt) == (f"segment/{segment.index}", 1)
        assert store.renew(lease, frames_done=1)
        assert store.finish(lease, part_key=f"part {segment.index}")
    assert store.take("assembler", RUNTIMES).attempt == 1
    assert store.take("another", RUNTIMES) is None
    store.transition(job_id, JobEvent.ASSEMBLY_STARTED)
    store.transition(job_id, JobEvent.SUCCEED, result_key="result")
    return job_id


def test_whichever_reply_is_lost_the_job_ends_as_if_none_were(proxy, store, valkey):
    live(store)  # from here on the server knows the scripts
    count = k = 0
    while k <= count:  # the first time none is lost, and they are counted
        valkey.flushall()
        store._client.connection_pool.disconnect()  # so that the replies of connecting are among them
        proxy.drop(k)
        job = store.get(live(store))
        count = count or proxy.seen
        assert k == 0 or proxy.seen > count, k  # one was lost and asked for again
        assert (job.state, job.result_key, job.frames_done) == (JobState.SUCCEEDED, "result", 10), k
        assert {state: n for state, n in store.counts().items() if n} == {JobState.SUCCEEDED: 1}, k
        assert store.active() == [], k
        assert store.finished_before(store.now() + 1) == [job.id], k
        k += 1
    assert count > 20


@pytest.mark.parametrize("event", [JobEvent.FAIL, JobEvent.CANCEL])
def test_an_end_asked_for_again_is_the_same_end(proxy, store, event):
    job_id = store.create(a_job()).id
    store.get(job_id)
    proxy.drop(1)
    assert store.transition(job_id, event).state.is_terminal
    assert proxy.seen > 1
