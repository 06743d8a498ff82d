"""An interlaced video's job: cut into segments, its frames are those of one pass over the whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.jobs.model import Options
from service.jobs.states import JobState
from tests.worker.job.test_runner import LIMITS, accept, frames_of, result_frames, run
from tests.worker.media.clips import make_clip
from tests.worker.media.reading.test_fields import HEIGHT, WIDTH, interlaced
from worker.job.context import WorkerContext
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan

COUNT = 12


@pytest.fixture(scope="module")
def woven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    return make_clip(path, interlaced(COUNT), width=WIDTH, height=HEIGHT, codec="ffv1")


@pytest.mark.parametrize("mode", ["auto", "fields", "off"])
def test_a_job_in_segments_enlarges_the_frames_of_one_pass(
    context: WorkerContext, woven: Path, tmp_path: Path, mode: Any
) -> None:
    """Bicubic, so that each frame stands for itself; the reduction takes the enlarging back."""
    options = Options(model="bicubic", codec="ffv1", format="mkv", deinterlace=mode)
    job = run(context, accept(context, woven, options))
    high = result_frames(context, job, tmp_path)
    source = probe(woven, limits=LIMITS)
    timeline = scan(woven, source, limits=LIMITS, deinterlace=mode)
    low = np.stack(list(decode(woven, source, timeline, 0, timeline.frame_count)))
    assert high.shape == (COUNT * (2 if mode == "fields" else 1), HEIGHT * 4, WIDTH * 4, 3)
    means = high.reshape(len(low), HEIGHT, 4, WIDTH, 4, 3).mean((2, 4))
    assert np.abs(means - low).mean() < 6
    assert job.report is not None
    assert job.report["segments"] > 1
    assert (job.report["frames_in"], job.report["frames_out"]) == (COUNT, len(high))
    said = {"auto": "each pair of fields", "fields": "each field", "off": "as it is woven"}[mode]
    assert any(said in notice for notice in job.report["notices"])


def test_a_video_that_is_not_interlaced_keeps_its_frames(context: WorkerContext, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", 10, width=160, height=128, codec="ffv1")
    options = Options(model="bicubic", codec="ffv1", format="mkv", deinterlace="fields", scale=2)
    job = run(context, accept(context, path, options))
    assert job.state is JobState.SUCCEEDED
    assert len(result_frames(context, job, tmp_path)) == len(frames_of(path)) == 10
    assert job.report is not None
    assert any("not interlaced" in notice for notice in job.report["notices"])
