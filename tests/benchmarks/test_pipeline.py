"""What the measurement of whole videos makes of the reports it gets."""

from benchmarks.pipeline import AGAINST, COMMAND, Pipeline, Took, page, summed_up

STAGES = {"plan": 1.0, "encode": 4.0}


def test_ratios_are_medians_of_those_within_a_round():
    """The machine was twice as slow in the second round, and so were both."""
    ours, other = ([took(wall_s * slow) for slow in (1, 2, 1)] for wall_s in (10.0, 40.0))
    row, row_of_other = rows = summed_up({COMMAND: ours, AGAINST: other}, frame_count=20)
    assert row.times_as_fast == (4, 39 / 9)
    assert row_of_other.times_as_fast == (1, 1)
    assert (row.slowest, row.to_slowest, row.frames_per_s) == ("encode", 9 / 4, 2)
    lines = page(Pipeline("180x144", "bicubic", 20, 3, rows))
    assert (
        "| upscaled upscale | torch-cpu float32 | 10.0 | 9.00 | 2.00 | encode | 2.25 | 4.00 | 4.33 |" in lines
    )
    assert "| encode | 4.00 | 4.00 |" in lines


def test_without_another_checkout_there_is_nothing_to_be_as_fast_as():
    [row] = summed_up({COMMAND: [took(10.0)]}, frame_count=20)
    assert row.times_as_fast is None


def took(wall_s: float) -> Took:
    return Took(wall_s, wall_s - 1, STAGES, "torch-cpu float32")
