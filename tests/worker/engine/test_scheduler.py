"""The policy alone: no tensors, no threads. `drive` plays the part of the engine with counters."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engine.scheduler import PASSED_OVER_TICKS_MAX, Decision, Slot, decide

SHAPES = [(16, 24), (24, 16), (32, 32)]


def slot(key: int, shape=(16, 24), *, frames=1, flows=0, has_room=True, waited_ticks=0) -> Slot:
    return Slot(key, shape, frames, flows, has_room, waited_ticks)


def decided(slots, *, batch_max=8, lookahead=4) -> Decision | None:
    return decide(slots, batch_max=lambda _: batch_max, lookahead=lookahead)


def settle(slots: list[Slot], decision: Decision) -> list[Slot]:
    """The slots after this tick, as the engine keeps its books: who was served goes to the end."""
    after, served = [], []
    for each in slots:
        known = each.flows + sum(flow.key == each.key for flow in decision.flows)
        if each.key in decision.step:
            served.append(replace(each, frames=each.frames - 1, flows=known - 1, waited_ticks=0))
        else:
            passed = each.key in decision.passed_over
            after.append(replace(each, flows=known, waited_ticks=each.waited_ticks + passed))
    return after + served


@st.composite
def slot_lists(draw):
    count = draw(st.integers(0, 12))
    slots = []
    for key in range(count):
        frames = draw(st.integers(0, 6))
        slots.append(
            slot(
                key,
                draw(st.sampled_from(SHAPES)),
                frames=frames,
                flows=draw(st.integers(0, frames)),
                has_room=draw(st.booleans()),
                waited_ticks=draw(st.integers(0, 8)),
            )
        )
    return slots


@settings(deadline=None)
@given(slot_lists(), st.integers(1, 5), st.integers(1, 5))
def test_a_step_takes_ready_streams_of_one_shape_once_each_and_never_too_many(slots, batch_max, lookahead):
    decision = decided(slots, batch_max=batch_max, lookahead=lookahead)
    by_key = {each.key: each for each in slots}
    ready = {each.key for each in slots if each.is_ready}
    if decision is None:
        assert not ready
        return
    assert 1 <= len(decision.step) <= batch_max
    assert len(set(decision.step)) == len(decision.step)
    assert len({by_key[key].shape for key in decision.step}) == 1
    assert set(decision.step) | set(decision.passed_over) == ready
    assert not set(decision.step) & set(decision.passed_over)


@settings(deadline=None)
@given(slot_lists(), st.integers(1, 5), st.integers(1, 5))
def test_every_stream_that_advances_has_its_flow_and_flows_come_in_order_without_gaps(
    slots, batch_max, lookahead
):
    decision = decided(slots, batch_max=batch_max, lookahead=lookahead)
    if decision is None:
        return
    assert len(decision.flows) <= batch_max
    shape = next(each.shape for each in slots if each.key == decision.step[0])
    for each in slots:
        computed = [flow.index for flow in decision.flows if flow.key == each.key]
        assert computed == list(range(each.flows, each.flows + len(computed)))
        assert all(index < min(each.frames, lookahead) for index in computed)
        assert not computed or each.shape == shape
        if each.key in decision.step:
            assert each.flows + len(computed) >= 1


@settings(deadline=None)
@given(slot_lists(), st.integers(1, 5))
def test_a_batch_is_left_unfilled_only_when_no_other_stream_of_its_shape_is_ready(slots, batch_max):
    decision = decided(slots, batch_max=batch_max)
    if decision is None or len(decision.step) == batch_max:
        return
    shape = next(each.shape for each in slots if each.key == decision.step[0])
    assert len(decision.step) == sum(each.is_ready and each.shape == shape for each in slots)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_ready_stream_waits_a_bounded_number_of_ticks_whatever_the_others_do(data):
    count = data.draw(st.integers(2, 10))
    slots = [slot(key, data.draw(st.sampled_from(SHAPES)), frames=50) for key in range(count)]
    waited = 0
    for _ in range(30):
        # The others come and go as they like; stream 0 is always ready.
        slots = [
            replace(each, frames=50, flows=0, has_room=each.key == 0 or data.draw(st.booleans()))
            for each in slots
        ]
        decision = decided(slots, batch_max=data.draw(st.integers(1, 3)))
        slots = settle(slots, decision)
        waited = 0 if 0 in decision.step else waited + 1
        assert waited <= PASSED_OVER_TICKS_MAX + count


def test_the_largest_group_goes_first():
    slots = [slot(0, (16, 24)), slot(1, (32, 32)), slot(2, (32, 32))]
    assert decided(slots).step == (1, 2)


def test_a_lone_stream_of_an_odd_size_is_served_beside_a_crowd():
    slots = [slot(0, (32, 32), frames=100)] + [slot(key, (16, 24), frames=100) for key in range(1, 6)]
    served = []
    for _ in range(20):
        decision = decided(slots)
        served.append(0 in decision.step)
        slots = settle(slots, decision)
    assert served[: PASSED_OVER_TICKS_MAX + 1] == [False] * PASSED_OVER_TICKS_MAX + [True]
    assert sum(served) == 20 // (PASSED_OVER_TICKS_MAX + 1)


def test_more_streams_than_a_batch_holds_take_turns():
    slots = [slot(key, frames=30) for key in range(5)]
    advanced = [0] * 5
    for _ in range(10):
        decision = decided(slots, batch_max=2)
        for key in decision.step:
            advanced[key] += 1
        slots = settle(slots, decision)
    assert advanced == [4, 4, 4, 4, 4]


def test_groups_that_fill_a_batch_share_the_ticks_stream_by_stream():
    slots = [slot(key, (16, 24), frames=9) for key in range(6)]
    slots += [slot(key, (32, 32), frames=9) for key in (6, 7)]
    advanced = [0] * 8
    for _ in range(8):
        decision = decided(slots, batch_max=2)
        for key in decision.step:
            advanced[key] += 1
        slots = settle(slots, decision)
    assert advanced == [2] * 8


def test_the_flows_of_one_stream_are_computed_several_frames_ahead_in_one_batch():
    slots = [slot(0, frames=6)]
    decision = decided(slots, lookahead=4)
    assert [flow.index for flow in decision.flows] == [0, 1, 2, 3]
    slots = settle(slots, decision)
    for _ in range(3):  # these three frames find their flows ready
        decision = decided(slots, lookahead=4)
        assert decision.flows == ()
        slots = settle(slots, decision)
    assert [flow.index for flow in decided(slots, lookahead=4).flows] == [0, 1]


def test_flows_that_the_step_needs_come_before_those_run_ahead():
    slots = [slot(key, frames=6) for key in range(3)]
    decision = decided(slots, batch_max=4)
    assert [(flow.key, flow.index) for flow in decision.flows] == [(0, 0), (1, 0), (2, 0), (0, 1)]


def test_a_stream_whose_output_is_full_does_not_advance():
    assert decided([slot(0, has_room=False)]) is None
    assert decided([slot(0, has_room=False), slot(1)]).step == (1,)
