"""What owners may use: counted alike in memory and on a real Valkey, and never over the limit."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import DailyLimit, TooManyOpenJobs, UnknownJob
from service.jobs.ids import new_job_id
from service.jobs.quotas import DAY_S, MINUTE_S, Quota
from service.jobs.redis.store import RedisStore
from service.jobs.states import JobEvent
from tests.proxies import dropping
from tests.service.jobs.test_store_contract import a_job, make_store, store

__all__ = ["make_store", "store"]

TWO_JOBS = Quota(open_jobs=2)


def test_a_key_has_no_more_jobs_at_a_time_than_it_may(store):
    first, _ = (store.create(a_job(owner="ann"), quota=TWO_JOBS) for _ in range(2))
    third = a_job(owner="ann")
    with pytest.raises(TooManyOpenJobs, match="2 jobs") as refused:
        store.create(third, quota=TWO_JOBS)
    assert refused.value.headers["RateLimit-Limit"] == "2"
    assert refused.value.headers["RateLimit-Remaining"] == "0"
    assert int(refused.value.headers["Retry-After"]) > 0
    with pytest.raises(UnknownJob):
        store.get(third.id)
    store.create(a_job(owner="bob"), quota=TWO_JOBS)
    store.transition(first.id, JobEvent.CANCEL)
    store.create(third, quota=TWO_JOBS)


def test_what_is_deleted_concluded_or_restored_is_counted_as_it_stands(store):
    jobs = [store.create(a_job(owner="ann"), quota=TWO_JOBS) for _ in range(2)]
    store.delete(jobs[0].id)
    store.conclude(jobs[1].after(JobEvent.CANCEL, at=time.time()))
    again = [a_job(owner="ann") for _ in range(2)]
    for job in again:
        assert store.restore(job)
    store.index_owner(again[0].id)
    with pytest.raises(TooManyOpenJobs):
        store.create(a_job(owner="ann"), quota=TWO_JOBS)


def test_the_same_request_again_is_no_second_job(store):
    job = store.create(a_job(owner="ann"), idempotency_key="k", quota=Quota(open_jobs=1))
    assert store.create(a_job(owner="ann"), idempotency_key="k", quota=Quota(open_jobs=1)) == job
    asked = {"open_jobs": 1}
    store.admit("ann", Quota(open_jobs=1), asked, unless_key="k")
    with pytest.raises(TooManyOpenJobs):
        store.admit("ann", Quota(open_jobs=1), asked, unless_key="other")


def test_bytes_are_counted_by_the_day_of_jobs_and_of_uploads_in_pieces(store):
    quota = Quota(bytes_per_day=100)
    store.create(a_job(owner="ann"), quota=quota, bytes_in=60)
    for _ in range(2):
        store.take_in("upload", "ann", quota, 30)
    with pytest.raises(DailyLimit, match="100 bytes a day, 90 are used") as refused:
        store.create(a_job(owner="ann"), quota=quota, bytes_in=11)
    assert refused.value.field == "bytes_per_day"
    assert 0 < int(refused.value.headers["Retry-After"]) <= DAY_S
    with pytest.raises(DailyLimit):
        store.take_in("other", "ann", quota, 11)
    store.create(a_job(owner="ann"), quota=quota)  # of what is there already
    store.create(a_job(owner="ann"), quota=quota, bytes_in=10)


def test_pixels_are_counted_once_a_job_is_planned_and_then_hold_others_up(store):
    quota = Quota(megapixels_per_day=1000)
    film, other = (store.create(a_job(owner="ann"), quota=quota) for _ in range(2))
    for _ in range(2):
        store.charge(film.id, 999.5)
    with pytest.raises(DailyLimit, match="megapixels"):
        store.charge(other.id, 0.6)
    store.charge(other.id, 0.25)
    with pytest.raises(DailyLimit):
        store.create(a_job(owner="ann"), quota=quota)
    store.create(a_job(owner="bob"), quota=quota)


def test_nobodys_jobs_are_not_counted(store):
    for _ in range(3):
        job = store.create(a_job(), quota=Quota(open_jobs=1, megapixels_per_day=1))
        store.charge(job.id, 1000)


def test_of_many_at_once_just_as_many_are_let_in_as_there_is_room_for(store):
    def create(_):
        with contextlib.suppress(TooManyOpenJobs):
            store.create(a_job(owner="ann"), quota=Quota(open_jobs=5))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(20)))
    assert store.queue_depth() == 5


def test_requests_are_drawn_until_the_minute_has_none_left(store):
    drawn = store.draw_requests("ann", 10, 4)
    if drawn.reset_s < 2:  # the minute is nearly over
        time.sleep(drawn.reset_s)
        drawn = store.draw_requests("ann", 10, 4)
    assert (drawn.granted, drawn.remaining) == (4, 6)
    assert 0 < drawn.reset_s <= MINUTE_S
    assert (store.draw_requests("ann", 10, 8).granted, store.draw_requests("ann", 10, 1).granted) == (6, 0)
    assert store.draw_requests("bob", 10, 8).granted == 8


@pytest.mark.integration
def test_a_reply_that_is_lost_counts_nothing_twice(valkey, valkey_url):
    quota = Quota(open_jobs=2, bytes_per_day=100, megapixels_per_day=100)

    def use(store, job):
        store.create(job, quota=quota, bytes_in=40)
        store.take_in("upload", "ann", quota, 20)
        store.charge(job.id, 60)

    with (
        dropping(valkey_url) as proxy,
        contextlib.closing(RedisStore.connect(proxy.url, lease_s=15, attempts_max=2)) as store,
    ):
        use(store, a_job(owner="ann", id=new_job_id()))  # from here on the server knows the scripts
        for lost in (1, 2, 3):
            valkey.flushall()
            store.now()
            proxy.drop(lost)
            use(store, a_job(owner="ann"))
            assert proxy.seen > 3, lost
            store.create(a_job(owner="ann"), quota=quota, bytes_in=40)
            with pytest.raises(TooManyOpenJobs):
                store.create(a_job(owner="ann"), quota=quota)
