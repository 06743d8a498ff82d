"""The table of states, every pair of state and event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import IllegalTransition
from service.jobs.states import TERMINAL, TRANSITIONS, JobEvent, JobState, advance


@given(st.lists(st.sampled_from(JobEvent)))
def test_no_sequence_of_events_brings_an_ended_job_back_to_work(events):
    state, ended_as = JobState.QUEUED, None
    for event in events:
        try:
            state = advance(state, event)
        except IllegalTransition:
            assert event not in TRANSITIONS[state]
        if ended_as is None and state.is_terminal:
            ended_as = state
        if ended_as is not None:
            assert state is ended_as or (ended_as, state) == (JobState.SUCCEEDED, JobState.EXPIRED)


@pytest.mark.parametrize("state", sorted(set(JobState) - TERMINAL))
def test_a_job_at_work_can_fail_and_be_cancelled(state):
    assert advance(state, JobEvent.FAIL) is JobState.FAILED
    assert advance(state, JobEvent.CANCEL) is JobState.CANCELLED


def test_the_way_to_success_passes_every_stage_in_order():
    state, seen = JobState.QUEUED, []
    for event in (
        JobEvent.PLANNING_STARTED,
        JobEvent.PLANNED,
        JobEvent.ASSEMBLY_STARTED,
        JobEvent.SUCCEED,
        JobEvent.EXPIRE,
    ):
        state = advance(state, event)
        seen.append(state)
    assert seen == ["planning", "running", "assembling", "succeeded", "expired"]


@pytest.mark.parametrize("state", [JobState.PLANNING, JobState.ASSEMBLING])
def test_a_worker_that_takes_over_may_start_the_stage_again(state):
    event = {
        JobState.PLANNING: JobEvent.PLANNING_STARTED,
        JobState.ASSEMBLING: JobEvent.ASSEMBLY_STARTED,
    }[state]
    assert advance(state, event) is state


def test_the_table_knows_every_state():
    assert set(TRANSITIONS) == set(JobState)
    assert {state for state, moves in TRANSITIONS.items() if not moves} == TERMINAL - {JobState.SUCCEEDED}


def test_an_illegal_event_is_refused_by_name():
    with pytest.raises(IllegalTransition, match="succeeded cannot cancel"):
        advance(JobState.SUCCEEDED, JobEvent.CANCEL)
