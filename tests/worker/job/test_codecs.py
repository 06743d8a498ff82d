"""Jobs by every lossy codec: parts made apart join, and one that was left equals one undisturbed."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.formats import Codec, Container
from service.jobs.model import Options
from service.jobs.states import JobState
from tests.worker.job.conftest import SEGMENT
from tests.worker.job.test_runner import accept, after_frames, drain_queue, frames_of, run
from tests.worker.media.clips import make_clip
from worker.job import runner
from worker.job.context import WorkerContext
from worker.media.checking.verify import verify

FRAMES = 2 * SEGMENT + 3
WRITTEN: list[tuple[Codec, Container, str]] = [
    (codec, container, pix_fmt)
    for codec, container in (("hevc", "mp4"), ("av1", "webm"), ("av1", "mp4"), ("prores", "mov"))
    for pix_fmt in ("yuv420p", "yuv420p10le")
]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_job_that_was_left_ends_with_the_same_frames(
    context: WorkerContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    written: tuple[Codec, Container, str],
) -> None:
    codec, container, pix_fmt = written
    clip = make_clip(tmp_path / "clip.mkv", FRAMES, codec="ffv1", pix_fmt=pix_fmt, width=48, height=32)
    options = Options(model="small", codec=codec, format=container)
    undisturbed = run(context, accept(context, clip, options))
    job_id = accept(context, clip, options)
    after_frames(monkeypatch, SEGMENT + 2, context.draining.set)
    assert run(context, job_id).state is JobState.RUNNING
    successor = replace(context, draining=threading.Event())
    runner.run(successor, job_id, "segment/1")
    resumed = drain_queue(successor, job_id)
    found = []
    for name, job in (("a", undisturbed), ("b", resumed)):
        assert job.result_key is not None, job.error
        path = tmp_path / f"{name}.{container}"
        context.storage.fetch(job.result_key, path)
        assert verify(clip, path, scale=4)["problems"] == []
        found.append(frames_of(path))
    assert len(found[0]) == FRAMES
    assert np.array_equal(*found)


def test_webm_is_made_of_av1_without_being_told(context: WorkerContext, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3)
    report = run(context, accept(context, clip, Options(model="small", format="webm"))).report
    assert report is not None
    assert (report["codec"], report["bit_depth"]) == ("av1", 8)


def test_what_av1_has_no_place_for_is_refused_with_the_reason(context: WorkerContext, tmp_path: Path) -> None:
    wide = make_clip(tmp_path / "wide.mkv", 2, width=4232, height=16)
    job = run(context, accept(context, wide, Options(model="small", codec="av1")))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.field, job.error.value) == ("invalid_option", "codec", "av1")
    assert "16384x8704" in job.error.message
