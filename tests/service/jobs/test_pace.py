"""How long a job will take, by what others took; the stores keep that alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.pace import KEPT, Measured, expected_bytes, fitted, wait_s
from tests.service.jobs.test_store_contract import make_store, store

__all__ = ["make_store", "store"]


def measured(megapixels, seconds, *, job="j", result_bytes=1):
    return Measured(
        job=job,
        megapixels=megapixels,
        megapixels_out=megapixels * 16,
        seconds=seconds,
        result_bytes=result_bytes,
        coded_as="h264 None",
    )


@given(
    st.floats(0.01, 10),
    st.floats(0.001, 10),
    st.lists(st.floats(0.1, 1e5), min_size=2, max_size=20, unique_by=lambda size: round(size, 1)),
)
def test_what_follows_a_line_is_told_exactly(fixed, slope, sizes):
    pace = fitted([measured(size, fixed + slope * size) for size in sizes])
    for size in sizes:
        assert pace.seconds(size) == pytest.approx(fixed + slope * size, rel=0.02)


@given(st.lists(st.tuples(st.floats(0.1, 1e5), st.floats(0.01, 1e5)), min_size=1, max_size=20))
def test_more_pixels_never_take_less_time_and_none_take_less_than_nothing(seen):
    pace = fitted([measured(size, seconds) for size, seconds in seen])
    assert 0 <= pace.seconds(0) <= pace.seconds(1) <= pace.seconds(1e6)


def test_one_measurement_is_taken_in_proportion_and_none_tells_nothing():
    assert fitted([measured(10, 5)]).seconds(20) == pytest.approx(10)
    assert fitted([]) is None
    assert expected_bytes([], "h264 None", 1) is None
    assert expected_bytes([measured(1, 1, result_bytes=160)], "h264 None", 32) == 320
    assert expected_bytes([measured(1, 1)], "hevc None", 32) is None


def test_others_hold_a_job_up_by_no_more_than_it_takes_itself():
    assert wait_s(10, [], [], 1) == 0
    assert wait_s(10, [3, 100], [], 1) == 13  # 3 of the short one, and as much of the long one as of ours
    assert wait_s(10, [], [4, 100], 1) == 14  # the other owner with much gets as much as we do
    assert wait_s(10, [100], [100], 1) == 30
    assert wait_s(10, [100], [100], 2) == 15


def test_a_store_keeps_the_latest_of_each_name_once(store):
    for number in range(KEPT + 3):
        store.note_pace("video m", measured(number + 1, 1, job=f"{number}"))
    store.note_pace("video m", measured(KEPT + 3, 1, job=f"{KEPT + 2}"))  # its answer got lost
    store.note_pace("image m", measured(7, 1))
    assert sorted(each.megapixels for each in store.paces("video m")) == list(range(4, KEPT + 4))
    assert [each.megapixels for each in store.paces("image m")] == [7]
    assert store.paces("other") == []


def test_workers_are_counted_by_their_names(store):
    assert store.worker_count() == 0
    for name in ("one", "two", "one"):
        store.announce(["torch-cpu float32"], name)
    assert store.worker_count() == 2
