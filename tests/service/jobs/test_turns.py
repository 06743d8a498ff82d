"""Whose turn it is: the same in memory and on a real Valkey, and fair whatever comes when."""

import collections
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.jobs.ids import new_job_id
from service.jobs.manifest import Segment
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Options
from service.jobs.redis.scripts import PREFIX
from service.jobs.states import JobEvent, JobState
from service.jobs.steps import ABSENT_S, FIRST_IN_LINE
from tests.service.jobs.test_store_contract import LEASE_S, make_store, store
from tests.service.jobs.test_store_contract import a_job as some_job

__all__ = ["make_store", "store"]

CPU, GPU = "openvino-cpu float32", "torch-cuda float16"
seconds = itertools.count(1_800_000_000)
names = (f"worker {number}" for number in itertools.count())


def take(store, runtimes=(CPU,)):
    return store.take(next(names), runtimes)


def shots(count, frames):
    return [Segment(index=n, frame_start=n * frames, frame_stop=(n + 1) * frames) for n in range(count)]


def a_job(**changes):
    """Ids tell the order in which jobs came only when a millisecond lies between."""
    return some_job(id=new_job_id(lambda: next(seconds)), **changes)


def film(store, count=9, frames=10, *, runtime=CPU, **changes):
    job = a_job(state=JobState.RUNNING, **changes)
    assert store.restore(job, segments=shots(count, frames), runtime=runtime)
    return job.id


def pictures(store, count, **changes):
    return [store.create(a_job(kind="image", **changes)).id for _ in range(count)]


def turns(store, count, runtimes=(CPU,)):
    """Whose steps the next takes get; each is done before the next is asked for."""
    return [ended(store, take(store, runtimes)).job_id for _ in range(count)]


def ended(store, lease):
    if store.get(lease.job_id).kind == "image" or lease.step == "assemble":
        store.conclude(store.get(lease.job_id).model_copy(update={"state": JobState.SUCCEEDED}))
    else:
        assert store.finish(lease)
    return lease


def test_films_take_turns(store):
    first, second, third = (film(store) for _ in range(3))
    assert turns(store, 6) == [first, second, third] * 2


def test_samples_and_estimates_go_before_all_others_and_cost_their_owner_nothing(store):
    long = film(store, owner="ann")
    assert turns(store, 2) == [long] * 2
    (posted,) = pictures(store, 1, owner="bob")
    sample = store.create(a_job(owner="ann", options=Options(sample=True))).id
    look = store.create(a_job(owner="ann", is_estimate=True)).id
    kept = store.take(next(names), None)  # the stream that is kept for pictures
    assert (kept.job_id, kept.step) == (sample, "plan")
    assert take(store).job_id == look
    store.transition(sample, JobEvent.PLANNING_STARTED)
    store.set_segments(sample, shots(2, 50), CPU)
    store.transition(sample, JobEvent.PLANNED)
    assert store.finish(kept)
    assert store.take(next(names), None).job_id == posted
    assert turns(store, 2) == [sample] * 2
    assert take(store).step == "assemble"
    other = film(store, owner="bob")
    assert turns(store, 1) == [other], "ann was given 20 frames, and the sample's are not added"


def test_pictures_go_before_the_next_segment_of_a_film_that_was_there_before(store):
    job_id = film(store)
    assert turns(store, 3) == [job_id] * 3
    posted = pictures(store, 5)
    assert turns(store, 7) == [*posted, job_id, job_id]


def test_a_film_has_its_turn_in_an_endless_stream_of_pictures(store):
    job_id = film(store, frames=10)
    served = []
    pictures(store, 3)
    for _ in range(60):
        pictures(store, 1)
        served += turns(store, 1)
    apart = [b - a for a, b in itertools.pairwise(n for n, whose in enumerate(served) if whose == job_id)]
    assert len(apart) > 2
    assert max(apart) <= 10 + 3 + len(apart)  # the pictures that waited, one more each time


def test_work_is_counted_in_frames(store):
    """A film of long shots and one of short shots: each gets as much as the other."""
    long, short = film(store, frames=40), film(store, count=30, frames=10)
    served = collections.Counter(turns(store, 25))
    assert abs(served[long] * 40 - served[short] * 10) <= 40 + 10


def test_an_owner_of_many_jobs_gets_no_more_than_one_of_few(store):
    many = pictures(store, 6, owner="aa")
    few = pictures(store, 2, owner="bb")
    assert turns(store, 8) == [many[0], few[0], many[1], few[1], *many[2:]]


def test_an_owner_saves_nothing_up_while_it_has_nothing_in_line(store):
    busy = pictures(store, 20, owner="aa")
    assert turns(store, 10) == busy[:10]
    new = pictures(store, 4, owner="bb")
    assert turns(store, 8) == [x for pair in zip(new, busy[10:], strict=False) for x in pair]


def test_a_stream_that_is_kept_for_pictures_gets_nothing_else(store):
    film(store)
    store.create(a_job())  # to be planned
    assert take(store, None) is None
    [job_id] = pictures(store, 1)
    assert take(store, None).job_id == job_id


def test_segments_go_to_workers_that_have_their_runtime_and_the_rest_to_any(store):
    on_gpu = film(store, 2, runtime=GPU)
    to_plan = store.create(a_job()).id
    assert store.line_up(on_gpu).first == ("segment/0", "segment/1")
    assert take(store).job_id == to_plan
    assert take(store) is None
    assert turns(store, 2, [CPU, GPU]) == [on_gpu] * 2
    assert turns(store, 1) == [on_gpu]  # to assemble it needs no device


def pass_time(store, runtime, seconds):
    """As if nobody who has the runtime had been heard of for so much longer."""
    if isinstance(store, MemoryStore):
        store._turns.heard[runtime] -= seconds
    else:
        store._client.zincrby(f"{PREFIX}heard", -seconds, runtime)


def test_a_worker_takes_over_what_it_is_not_made_for_only_when_no_other_is_alive(store):
    job_id = film(store, 3, runtime=GPU)
    for _ in range(2):  # the second time a worker was there, and went
        assert store.is_served(GPU)
        pass_time(store, GPU, ABSENT_S - 1)
        assert store.is_served(GPU)
        assert take(store) is None
        pass_time(store, GPU, 2)
        assert not store.is_served(GPU)
        assert take(store, None) is None
        assert take(store).job_id == job_id
        store.announce([GPU])
    assert take(store) is None


def test_a_runtime_that_nothing_waits_for_is_not_missed(store):
    assert store.is_served(GPU)


def test_a_take_that_is_asked_again_gets_the_same_lease(store):
    film(store)
    film(store)
    first = store.take("worker", [CPU])
    assert store.take("worker", [CPU]) == first
    assert store.take("another", [CPU]).job_id != first.job_id
    assert store.finish(first)


def test_a_chain_is_gone_on_with_unless_another_job_is_next(store):
    chain = [
        Segment(index=n, frame_start=n * 10, frame_stop=n * 10 + 10, follows=n - 1 if n else None)
        for n in range(4)
    ]
    job = a_job(state=JobState.RUNNING)
    store.restore(job, segments=chain, runtime=CPU)
    assert store.finish(store.acquire(job.id, "segment/0", "a", unless_next=[CPU]))
    other = film(store, runtime=GPU)
    assert store.finish(store.acquire(job.id, "segment/1", "b", unless_next=[CPU]))
    pictures(store, 1)
    assert store.acquire(job.id, "segment/2", "c", unless_next=[CPU]) is None
    assert store.acquire(job.id, "segment/2", "d") is not None
    assert store.acquire(other, "segment/0", "e") is not None


def test_a_lease_that_ran_out_is_in_line_again_once_that_was_noticed(make_store):
    store = make_store(lease_s=LEASE_S)
    job_id = film(store, 1)
    late = take(store)
    time.sleep(LEASE_S * 1.5)
    assert take(store) is None
    assert store.line_up(job_id).added == 1
    assert store.line_up(job_id).added == 0
    assert store.renew(late)  # it was only slow, and has its step again
    assert take(store) is None
    time.sleep(LEASE_S * 1.5)
    store.line_up(job_id)
    assert take(store).fence > late.fence


def test_a_step_begun_too_often_is_handed_out_and_says_so(make_store):
    store = make_store(lease_s=0.01, attempts_max=2)
    job_id = film(store, 1)
    for attempt in (1, 2, 3):
        assert take(store).attempt == attempt
        time.sleep(0.03)
        store.line_up(job_id)


def test_a_step_given_back_waits_for_the_kind_of_worker_it_needs(store):
    job_id = film(store, 1, runtime=None)
    store.release(take(store), only_for=GPU)
    assert take(store) is None
    assert take(store, [GPU]).job_id == job_id


def test_a_plan_says_which_workers_its_segments_are_for(store):
    job = store.create(a_job())
    lease = take(store)
    store.transition(job.id, JobEvent.PLANNING_STARTED)
    store.set_segments(job.id, shots(2, 10), GPU)
    assert take(store, [GPU]) is None  # nothing runs before all is planned
    store.transition(job.id, JobEvent.PLANNED)
    assert store.finish(lease)
    assert take(store) is None
    assert take(store, [GPU]).step == "segment/0"


def test_the_line_of_a_job_is_told(store):
    assert store.line_up("unknown") is None
    before = store.now()
    job_id = film(store, 20)
    line = store.line_up(job_id)
    assert (line.kind, line.added) == ("video", 0)
    assert before - 0.001 <= line.since <= store.now() + 0.001
    assert line.counts == {"plan": 0, "segment": 20, "assemble": 0}
    assert line.first == tuple(f"segment/{n}" for n in range(FIRST_IN_LINE))
    [picture] = pictures(store, 1)
    assert store.line_up(picture).counts == {"plan": 1, "segment": 0, "assemble": 0}
    take(store, None)
    assert (store.line_up(picture).since, store.line_up(picture).first) == (None, ())


@pytest.mark.parametrize("event", [JobEvent.CANCEL, JobEvent.FAIL])
def test_a_job_that_ended_has_no_turn(store, event):
    first, second = film(store), film(store)
    store.transition(first, event)
    assert turns(store, 2) == [second] * 2
    store.delete(second)
    assert take(store) is None


# Beside processes of a former version, which know of no line


def put_back(valkey, *ids):
    """What stood in line, as a former version leaves it."""
    for key in valkey.scan_iter(f"{PREFIX}*"):
        if key.removeprefix(PREFIX).split(":")[0] in {"line", "ring", "rings", "spent", "level", "heard"}:
            valkey.delete(key)
    for job_id in ids:
        valkey.hdel(f"{PREFIX}job:{job_id}", "_ring", "_since", "_runtime")


@pytest.mark.integration
def test_jobs_of_a_former_version_are_found_by_their_messages_and_by_the_sweeper(valkey, redis_store):
    first, second = film(redis_store, 2), film(redis_store, 2)
    put_back(valkey, first, second)
    assert take(redis_store) is None
    lease = redis_store.take("worker", [CPU], told=(first, "segment/1"))
    assert (lease.job_id, lease.step) == (first, "segment/1")
    assert redis_store.line_up(second).added == 2
    assert turns(redis_store, 2) == [second] * 2


@pytest.mark.integration
def test_what_a_former_version_began_ended_or_deleted_is_passed_over(valkey, redis_store):
    begun, gone, over, left = (film(redis_store, 2) for _ in range(4))
    steps = f"{PREFIX}steps:{begun}"
    for step in ("segment/0", "segment/1"):
        valkey.hset(steps, mapping={f"{step}|owner": "former", f"{step}|expires_at": "9999999999"})
    valkey.delete(f"{PREFIX}job:{gone}", f"{PREFIX}steps:{gone}", f"{PREFIX}ready:{gone}")
    valkey.hset(f"{PREFIX}job:{over}", "state", '"cancelled"')
    assert turns(redis_store, 3) == [left] * 3
    assert take(redis_store) is None
    assert valkey.keys(f"{PREFIX}line:*") == []


@pytest.mark.integration
def test_nothing_of_a_line_is_left_when_all_jobs_have_ended(valkey, redis_store):
    for job_id in (film(redis_store, owner="aa"), film(redis_store, runtime=GPU), *pictures(redis_store, 2)):
        redis_store.take(next(names), [CPU])
        redis_store.transition(job_id, JobEvent.CANCEL)
    kinds = {key.removeprefix(PREFIX).split(":")[0] for key in valkey.keys(f"{PREFIX}*")}
    assert kinds <= {"job", "jobs", "finished", "counts", "spent", "level", "heard", "took", "owned"}
    assert all(0 < valkey.pttl(key) <= 15_000 for key in valkey.keys(f"{PREFIX}took:*"))


@pytest.mark.integration
def test_a_move_costs_the_same_in_a_line_of_any_length(valkey, redis_store):
    """Commands that the server runs for a take and what follows it: a film has 1,800 shots."""

    def commands(count):
        valkey.flushall()
        film(redis_store, count)
        ended(redis_store, take(redis_store))
        before = valkey.info("stats")["total_commands_processed"]
        calls = valkey.info("commandstats")
        ended(redis_store, take(redis_store))
        after = valkey.info("commandstats")
        assert before
        return sum(after[name]["calls"] - calls.get(name, {"calls": 0})["calls"] for name in after)

    assert commands(1800) == commands(20) < 150


# Whatever comes when

COST_MAX = 12
arrivals = st.lists(
    st.tuples(
        st.integers(0, 60),  # after so many turns
        st.sampled_from([None, "aa", "bb"]),
        st.integers(0, 6),  # shots; 0 is a picture
        st.integers(1, COST_MAX),  # frames of each
    ),
    min_size=1,
    max_size=12,
)


@given(arrivals)
@settings(deadline=None, max_examples=200, derandomize=True, database=None)
def test_work_is_shared_by_owner_and_then_by_job(plan):
    """One worker, one step after the other.

    - It is never without a step while one waits.
    - Of two owners who both wait, neither gets more than two steps' frames more than the other.
    - Between two turns of a job that waits, another of its owner gets no more than both their steps' frames.
    """
    store = MemoryStore(lease_s=15, attempts_max=9, clock=lambda: 0.0)
    costs, given_to, owners = {}, collections.Counter(), {}
    since_both, since_turn = {}, {}  # what was given to each when both began to wait, or at the last turn
    for turn in itertools.count():
        for at, owner, count, frames in plan:
            if at == turn:
                job_id = (
                    film(store, count, frames, owner=owner) if count else pictures(store, 1, owner=owner)[0]
                )
                costs[job_id], owners[job_id] = frames if count else 1, owner
        waiting = [job_id for job_id in owners if store.waiting(job_id)]
        if not waiting and turn > 60:
            return
        for pair in itertools.permutations({owners[job_id] for job_id in waiting}, 2):
            since_both.setdefault(pair, {owner: given_to[owner] for owner in pair})
        for pair in itertools.permutations(waiting, 2):
            if owners[pair[0]] == owners[pair[1]]:
                since_turn.setdefault(pair, given_to[pair[1]])
        lease = take(store)
        assert (lease is None) == (not waiting)
        if lease is None:
            continue
        cost = costs[lease.job_id] if lease.step.startswith("segment") else 1
        given_to[lease.job_id] += cost
        given_to[owners[lease.job_id]] += cost
        ended(store, lease)
        waiting = {job_id for job_id in owners if store.waiting(job_id)}
        still = {owners[job_id] for job_id in waiting}
        since_both = {pair: began for pair, began in since_both.items() if still >= set(pair)}
        for (one, other), began in since_both.items():
            more = (given_to[one] - began[one]) - (given_to[other] - began[other])
            assert abs(more) <= 2 * COST_MAX
        since_turn = {
            pair: began
            for pair, began in since_turn.items()
            if waiting >= set(pair) and pair[0] != lease.job_id
        }
        for (one, other), began in since_turn.items():
            assert given_to[other] - began <= costs[one] + costs[other]
