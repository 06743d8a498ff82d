"""A deep video's job: a chain of segments equals one pass, and one that was left equals one undisturbed."""

import threading
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from service.jobs.model import Job, Options
from service.jobs.states import JobState
from tests.worker.job.conftest import SEGMENT
from tests.worker.job.test_runner import accept, after_frames, drain_queue, run
from tests.worker.media.clips import make_clip
from worker.job import runner
from worker.job.context import WorkerContext

FRAMES = 2 * SEGMENT + 3
PQ = {"matrix": 9, "primaries": 9, "transfer": 16, "range": 1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soft noise that moves by a pixel a frame, in all its ten bits."""
    random = np.random.default_rng(5)
    scene = random.integers(200, 700, (32, 48 + FRAMES)).astype(np.uint16)
    frames = []
    for index in range(FRAMES):
        frame = av.VideoFrame(48, 32, "yuv420p10le")
        for plane, samples in enumerate(frame.planes):
            levels = np.full((samples.height, samples.line_size // 2), 512, np.uint16)
            if plane == 0:
                levels[:, :48] = scene[:, index : index + 48]
            samples.update(levels.tobytes())
        frames.append(frame)
    path = tmp_path_factory.mktemp("deep") / "noise.mkv"
    return make_clip(path, frames, codec="ffv1", pix_fmt="yuv420p10le", width=48, height=32, colour=PQ)


OPTIONS = Options(model="small", codec="ffv1", format="mkv")


def frames_of(context: WorkerContext, job: Job, path: Path) -> np.ndarray:
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.result_key is not None
    context.storage.fetch(job.result_key, path)
    with av.open(str(path)) as container:
        found = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert {frame.dtype for frame in found} == {np.dtype(np.uint16)}
    return np.stack(found)


def test_a_job_that_was_left_ends_with_the_same_frames(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    undisturbed = frames_of(context, run(context, accept(context, clip, OPTIONS)), tmp_path / "a.mkv")
    job_id = accept(context, clip, OPTIONS)
    after_frames(monkeypatch, SEGMENT + 2, context.draining.set)
    assert run(context, job_id).state is JobState.RUNNING
    successor = replace(context, draining=threading.Event())
    runner.run(successor, job_id, "segment/1")
    resumed = frames_of(successor, drain_queue(successor, job_id), tmp_path / "b.mkv")
    assert len(resumed) == FRAMES
    assert np.array_equal(resumed, undisturbed)


def test_a_chain_of_segments_equals_one_pass(context: WorkerContext, clip: Path, tmp_path: Path) -> None:
    """But for the state, which is rounded to sixteen bits where a segment ends."""
    chain = frames_of(context, run(context, accept(context, clip, OPTIONS)), tmp_path / "a.mkv")
    whole = replace(context, settings=context.settings.model_copy(update={"segment_frames_max": 100}))
    one = frames_of(whole, run(whole, accept(whole, clip, OPTIONS)), tmp_path / "b.mkv")
    assert np.abs(chain.astype(int) - one).max() <= 1
    assert (chain != one).mean() < 0.05


def test_the_report_says_its_depth_and_what_kind_of_hdr_it_is(context: WorkerContext, clip: Path) -> None:
    report = run(context, accept(context, clip, Options(model="small"))).report
    assert report is not None
    assert (report["codec"], report["bit_depth"], report["hdr"]) == ("hevc", 10, "PQ")
    assert report["notices"] == ["written as HEVC, which keeps 10 bits a sample"]


def test_h264_is_refused_for_hdr_with_the_reason(context: WorkerContext, clip: Path) -> None:
    job = run(context, accept(context, clip, Options(model="small", codec="h264")))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.field) == ("invalid_option", "codec")
    assert "codec=hevc keeps HDR" in job.error.message
