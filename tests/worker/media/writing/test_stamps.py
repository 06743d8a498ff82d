"""The laws of packet times, for any timeline and any order of packets."""

from fractions import Fraction
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.media.types import Timeline
from worker.media.writing.stamps import reorder_depth, show_order, stamps


@st.composite
def parts_and_timelines(draw):
    """Some parts, each in any order that starts with its first frame, and a timeline for all their frames."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    orders = [[0, *draw(st.permutations(range(1, size)))] for size in sizes]
    steps = draw(st.lists(st.integers(1, 5000), min_size=sum(sizes), max_size=sum(sizes)))
    start = draw(st.integers(-1000, 100_000))
    *times, end = accumulate(steps, initial=start)
    return orders, Timeline(
        time_base=Fraction(1, 1000), times=tuple(times), duration=end - times[-1], keys=()
    )


def all_stamps(orders, timeline):
    depth = max(reorder_depth(order) for order in orders)
    starts = accumulate((len(order) for order in orders), initial=0)
    return [
        list(stamps(timeline, first, order, depth=depth))
        for first, order in zip(starts, orders, strict=False)
    ]


@given(parts_and_timelines())
def test_the_k_th_shown_packet_gets_the_k_th_time(case):
    orders, timeline = case
    shown = []
    for order, part in zip(orders, all_stamps(orders, timeline), strict=True):
        shown += [stamp.pts for _, stamp in sorted(zip(order, part, strict=True), key=lambda pair: pair[0])]
    assert tuple(shown) == timeline.times


@given(parts_and_timelines())
def test_decode_times_rise_and_never_come_after_show_times(case):
    flat = [stamp for part in all_stamps(*case) for stamp in part]
    assert all(before.dts < after.dts for before, after in pairwise(flat))
    assert all(stamp.dts <= stamp.pts for stamp in flat)


@given(parts_and_timelines())
def test_decode_times_span_exactly_the_video(case):
    orders, timeline = case
    flat = [stamp for part in all_stamps(orders, timeline) for stamp in part]
    length = timeline.times[-1] + timeline.duration - timeline.times[0]
    assert flat[-1].dts + flat[-1].duration - flat[0].dts == length


def test_the_order_of_a_part_comes_from_its_times_whatever_they_are():
    assert show_order([0, 120, 40, 80]) == [0, 3, 1, 2]
    assert reorder_depth([0, 3, 1, 2]) == 1
    assert reorder_depth([0, 1, 2]) == 0
