"""Laws of the job store under any sequence of calls, and both backends always saying the same.

Time passes when the test says so: memory gets a clock, and in Valkey the leases are made to have ended.
"""

import itertools
import re
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from service.errors import UpscaleError
from service.jobs.ids import new_job_id
from service.jobs.manifest import Segment
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Job
from service.jobs.redis.scripts import PREFIX
from service.jobs.redis.store import RedisStore
from service.jobs.states import JobEvent, JobState

LEASE_S = 3600.0
ATTEMPTS_MAX = 3

chains = st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=4)
RUNTIME = "torch-cpu float32"
reaches = st.sampled_from([None, ["another"], [RUNTIME], ["another", RUNTIME]])
steps = st.sampled_from(["plan", "segment/0", "segment/1", "segment/2", "segment/3", "assemble"])


def cut(chain):
    segments, start = [], 0
    for index, (frame_count, follows) in enumerate(chain):
        follows_index = index - 1 if follows and index else None
        segments.append(
            Segment(index=index, frame_start=start, frame_stop=start + frame_count, follows=follows_index)
        )
        start += frame_count
    return segments


class TwoStores(RuleBasedStateMachine):
    """Drives both backends alike and compares every answer."""

    client = None  # set by the test

    @initialize(chain=chains, kind=st.sampled_from(["video", "video", "image"]))
    def begin(self, chain, kind):
        self.client.flushall()
        self.time_s = time.time()
        self.memory = MemoryStore(lease_s=LEASE_S, attempts_max=ATTEMPTS_MAX, clock=lambda: self.time_s)
        self.redis = RedisStore(self.client, lease_s=LEASE_S, attempts_max=ATTEMPTS_MAX)
        self.segments = cut(chain)
        self.frames_max = self.segments[-1].frame_stop + (kind == "image")  # one of its plan
        self.owners = (f"owner {number}" for number in itertools.count())
        self.leases = []  # pairs: memory's, redis's
        self.finished_by = {}  # step -> fence
        self.fences = {}  # step -> newest
        self.frames_done = 0
        self.ended_as = None
        self.id = new_job_id()
        job = Job(
            id=self.id,
            kind=kind,
            filename="clip.mp4",
            size_bytes=1,
            sha256="ab" * 32,
            created_at=self.time_s,
            updated_at=self.time_s,
        )
        self.both(lambda store: store.create(job).id)

    def both(self, call):
        answers = []
        for store in (self.memory, self.redis):
            try:
                answers.append(call(store))
            except UpscaleError as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1]
        return answers[0]

    @rule(event=st.sampled_from(JobEvent))
    def transition(self, event):
        self.both(lambda store: store.transition(self.id, event).state)

    @rule(event=st.sampled_from([JobEvent.PLANNING_STARTED, JobEvent.PLANNED, JobEvent.ASSEMBLY_STARTED]))
    def go_on(self, event):
        """The same again, more often for the events that lead on, so that runs get somewhere."""
        self.transition(event)

    @rule()
    def plan(self):
        if self.memory.get(self.id).state is JobState.QUEUED:
            self.both(lambda store: store.set_segments(self.id, self.segments, RUNTIME))
            self.transition(JobEvent.PLANNING_STARTED)
            self.transition(JobEvent.PLANNED)
        else:
            self.both(lambda store: store.set_segments(self.id, self.segments))

    @rule(step=steps, unless_next=reaches)
    def acquire(self, step, unless_next=None):
        owner = next(self.owners)
        got = []

        def call(store):
            lease = store.acquire(self.id, step, owner, unless_next=unless_next)
            got.append(lease)
            return lease and (lease.fence, lease.attempt)

        answer = self.both(call)
        if answer is not None and len(got) == 2:
            assert answer[0] > self.fences.get(step, 0)
            assert answer[1] <= ATTEMPTS_MAX
            assert step not in self.finished_by
            self.fences[step] = answer[0]
            self.leases.append(tuple(got))

    @rule(data=st.data())
    def acquire_what_can_run(self, data):
        runnable = self.both(lambda store: list(store.waiting(self.id)))
        if runnable:
            self.acquire(data.draw(st.sampled_from(runnable)))

    @rule(runtimes=reaches, step=st.none() | steps)
    def take(self, runtimes, step):
        owner, got = next(self.owners), []

        def call(store):
            lease = store.take(owner, runtimes, told=step and (self.id, step))
            got.append(lease)
            return lease and (lease.step, lease.fence, lease.attempt)

        if self.both(call) is not None:
            lease = got[0]
            assert lease.fence > self.fences.get(lease.step, 0)
            assert lease.step not in self.finished_by
            self.fences[lease.step] = lease.fence
            self.leases.append(tuple(got))

    @rule()
    def line_up(self):
        def call(store):
            line = store.line_up(self.id)
            return line and (line.kind, line.since is None, line.counts, line.first, line.added)

        self.both(call)

    def some_lease(self, data):
        return data.draw(st.sampled_from(self.leases)) if self.leases else None

    def with_lease(self, pair, call):
        by_store = {id(self.memory): pair[0], id(self.redis): pair[1]}
        return self.both(lambda store: call(store, by_store[id(store)]))

    @rule(data=st.data(), frames_done=st.integers(0, 8))
    def renew(self, data, frames_done):
        if pair := self.some_lease(data):
            renewed = self.with_lease(pair, lambda store, lease: store.renew(lease, frames_done=frames_done))
            if renewed:
                assert pair[0].fence == self.fences[pair[0].step]
                assert not self.memory.get(self.id).state.is_terminal

    @rule(data=st.data())
    def release(self, data):
        if pair := self.some_lease(data):
            self.with_lease(pair, lambda store, lease: store.release(lease))

    @rule(data=st.data())
    def finish(self, data):
        if pair := self.some_lease(data):
            lease = pair[0]
            key = f"{lease.step}-{lease.fence}"
            if self.with_lease(pair, lambda store, lease: store.finish(lease, part_key=key)):
                assert lease.fence == self.fences[lease.step]
                assert self.finished_by.setdefault(lease.step, lease.fence) == lease.fence

    @rule()
    def let_leases_end(self):
        self.time_s += LEASE_S + 1
        key = f"{PREFIX}steps:{self.id}"
        for field in self.client.hkeys(key):
            if field.endswith("|expires_at"):
                self.client.hset(key, field, "1")

    @invariant()
    def both_hold_the_same(self):
        def facts(store):
            job = store.get(self.id)
            records = {
                step: (r.fence, r.owner, r.attempts, r.done, r.part_key, r.frames_done)
                for step, r in store.steps(self.id).items()
            }
            return (
                job.state,
                job.frames_done,
                records,
                list(store.waiting(self.id)),
                store.counts(),
                store.active(),
            )

        state, frames_done, records, runnable, _, _ = self.both(facts)
        assert frames_done >= self.frames_done
        assert frames_done <= self.frames_max
        assert state.is_terminal or frames_done == sum(record[5] for record in records.values())
        self.frames_done = frames_done
        if self.ended_as is not None:
            assert state is self.ended_as or (self.ended_as, state) == (JobState.SUCCEEDED, JobState.EXPIRED)
            assert runnable == []
        elif state.is_terminal:
            self.ended_as = state
        done = {step for step, record in records.items() if record[3]}
        assert done == (set() if state.is_terminal else set(self.finished_by))
        assert all(re.fullmatch(r"plan|assemble|segment/\d", step) for step in records)


@pytest.mark.timeout(120)
def test_both_stores_keep_the_laws_and_agree(valkey):
    machine = type("Machine", (TwoStores,), {"client": valkey})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,  # the same cases every time; a failure here must not be a matter of luck
            database=None,
        ),
    )
