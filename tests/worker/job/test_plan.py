from hypothesis import given
from hypothesis import strategies as st

from worker.job.plan import _rate_factor, cut_segments


@given(st.data(), st.integers(1, 500), st.integers(1, 60))
def test_segments_cover_every_frame_once_and_chains_end_at_cuts(
    data: st.DataObject, frame_count: int, frames_max: int
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, frame_count - 1), max_size=9))) if frame_count > 1 else []
    segments = cut_segments(frame_count, cuts, frames_max=frames_max)
    covered = [frame for s in segments for frame in range(s.frame_start, s.frame_stop)]
    assert covered == list(range(frame_count))
    for index, segment in enumerate(segments):
        assert segment.index == index
        assert segment.frame_count <= frames_max
        starts_a_shot = segment.frame_start in {0, *cuts}
        assert segment.follows == (None if starts_a_shot else index - 1)


def test_a_shot_a_little_too_long_is_cut_in_halves_not_into_a_stub() -> None:
    assert [s.frame_count for s in cut_segments(101, [], frames_max=100)] == [50, 51]


def test_quality_of_1_to_100_spans_the_whole_rate_factor_and_rises() -> None:
    factors = [_rate_factor(quality) for quality in range(1, 101)]
    assert (factors[0], factors[-1]) == (51, 1)
    assert factors == sorted(factors, reverse=True)
