from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats import Codec
from service.jobs import manifest
from service.jobs.model import Job, Options
from service.jobs.states import JobState
from tests.worker.media.clips import make_clip
from worker.job import runner
from worker.job.context import WorkerContext
from worker.job.steps.plan import cut_segments
from worker.media.reading.probe import probe
from worker.media.types import Limits
from worker.media.writing.encoding import QUALITIES, h264_allows, quality_of
from worker.offline import local


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


@pytest.mark.parametrize(
    ("codec", "worst", "best"), [("h264", 51, 1), ("hevc", 51, 1), ("av1", 63, 1), ("prores", 0, 3)]
)
def test_quality_of_1_to_100_spans_what_the_codec_has_and_rises(codec: Codec, worst: int, best: int) -> None:
    steps = [quality_of(codec, asked) for asked in range(1, 101)]
    assert (steps[0], steps[-1]) == (worst, best)
    assert steps == sorted(steps, reverse=worst > best)
    assert set(steps) == set(QUALITIES[codec])


def test_h264_ends_where_its_last_level_does() -> None:
    assert h264_allows(8192, 4352)
    assert not h264_allows(8192, 4368)  # one row of macroblocks more
    assert h264_allows(64, 1055 * 16)
    assert not h264_allows(1056 * 16, 64)


def run(context: WorkerContext, path: Path, options: Options) -> Job:
    """To its end, as it is one segment."""
    job_id = local.accept(context, path, options).id
    runner.run(context, job_id, "plan")
    return context.store.get(job_id)


def test_what_h264_cannot_hold_becomes_hevc_and_says_so(context: WorkerContext, tmp_path: Path) -> None:
    wide = make_clip(tmp_path / "wide.mkv", 2, width=4232, height=16)
    job = run(context, wide, Options(model="small"))
    plan = manifest.load(context.storage, job.id).plan
    assert plan is not None
    assert plan.codec == "hevc"
    assert "written as HEVC: no level of H.264 allows 16928x64" in plan.notices
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.result_key is not None
    context.storage.fetch(job.result_key, tmp_path / "result.mp4")
    made = probe(tmp_path / "result.mp4", limits=Limits(pixels_max=10**8, duration_s_max=60))
    assert (made.codec, made.width, made.height) == ("hevc", 16928, 64)


def test_h264_that_was_asked_for_is_refused_where_it_cannot_hold_the_frame(
    context: WorkerContext, tmp_path: Path
) -> None:
    wide = make_clip(tmp_path / "wide.mkv", 2, width=4232, height=16)
    job = run(context, wide, Options(model="small", codec="h264"))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.field, job.error.value) == ("invalid_option", "codec", "h264")
    assert run(context, wide, Options(model="small", codec="h264", scale=3)).state is JobState.SUCCEEDED
