"""A silence is judged by the size of the work in hand and the speed seen last."""

from worker.engine.pace import PIXELS_MIN, SILENT_S_MAX, SLOWER_MAX, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_thread_with_nothing_in_hand_is_stuck_when_it_is_silent_too_long():
    clock = Clock()
    pace = Pace(clock)
    clock.now += SILENT_S_MAX
    assert pace.stuck_s() is None
    clock.now += 1
    assert pace.stuck_s() == SILENT_S_MAX + 1
    pace.tell()
    assert pace.stuck_s() is None


def test_a_call_may_take_what_the_speed_of_the_one_before_allows():
    clock = Clock()
    pace = Pace(clock)
    with pace.call(1000):
        clock.now += 10
    with pace.call(100_000):
        clock.now += 10 * 100 * SLOWER_MAX
        assert pace.stuck_s() is None
        clock.now += 1
        assert pace.stuck_s() == 10 * 100 * SLOWER_MAX + 1


def test_parts_of_a_call_are_heard_and_what_is_left_is_judged_by_the_whole():
    clock = Clock()
    pace = Pace(clock)
    with pace.call(100_000):
        for _ in range(100):
            with pace.call(1000):
                clock.now += SILENT_S_MAX
            assert pace.stuck_s() is None
        clock.now += SLOWER_MAX * SILENT_S_MAX * 100
        assert pace.stuck_s() is None  # a hundred times a part's pixels
        clock.now += 1
        assert pace.stuck_s() is not None
    clock.now += SILENT_S_MAX + 1
    assert pace.stuck_s() is not None


def test_a_tiny_call_promises_little_of_a_large_one():
    """What one costs beside its pixels must not let a frame a million times larger hang for days."""
    clock = Clock()
    pace = Pace(clock)
    with pace.call(1):
        clock.now += 0.005
    with pace.call(PIXELS_MIN * 1000):
        clock.now += SILENT_S_MAX + 1
        assert pace.stuck_s() is not None


def test_a_call_that_fails_leaves_the_speed_as_it_was():
    clock = Clock()
    pace = Pace(clock)
    try:
        with pace.call(1):
            clock.now += 3600
            raise ValueError("broken")
    except ValueError:
        pass
    with pace.call(1000):
        clock.now += SILENT_S_MAX + 1
        assert pace.stuck_s() is not None
