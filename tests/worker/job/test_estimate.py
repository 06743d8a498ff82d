"""What a job would come to, a sample of it, and what is measured on the way."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.jobs import keys, manifest
from service.jobs.manifest import Manifest
from service.jobs.model import Job, Options
from service.jobs.pace import Measured, pace_name
from service.jobs.states import JobState
from tests.worker.job.test_runner import result_frames, run
from tests.worker.media.clips import make_clip
from worker.job import runner
from worker.job.context import WorkerContext
from worker.job.meter import Meter
from worker.offline import local

LOSSLESS = Options(model="small", codec="ffv1", format="mkv")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 24, width=72, height=48)


def estimated(context: WorkerContext, path: Path, options: Options) -> Job:
    made = local.accept(context, path, options)
    context.store.delete(made.id)
    manifest.forget(context.storage, made.id)
    job = made.model_copy(update={"is_estimate": True})
    context.storage.put_file(keys.input_key(job.id), path)
    manifest.save(context.storage, Manifest(job=job))
    return run(context, context.store.create(job).id)


def estimate_of(job: Job) -> dict[str, Any]:
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.report is not None
    found: dict[str, Any] = job.report["estimate"]
    return found


def test_an_estimate_tells_frames_size_and_model_and_makes_nothing(
    context: WorkerContext, clip: Path
) -> None:
    job = estimated(context, clip, LOSSLESS)
    found = estimate_of(job)
    assert (found["frames"], found["width"], found["height"]) == (24, 288, 192)
    assert (found["format"], found["codec"]) == ("mkv", "ffv1")
    assert (found["seconds"], found["result_bytes"], found["measured_jobs"]) == (None, None, 0)
    assert found["megapixels"] == pytest.approx(24 * 72 * 48 / 1e6, abs=1e-3)
    assert job.report is not None
    assert (job.report["model"], job.result_key, job.frames_done) == ("small", None, 0)


def test_what_a_job_took_tells_how_long_the_next_takes(context: WorkerContext, clip: Path) -> None:
    job = run(context, local.accept(context, clip, LOSSLESS).id)
    assert job.report is not None
    (measured,) = context.store.paces(pace_name("video", "small"))
    assert measured.megapixels == pytest.approx(24 * 72 * 48 / 1e6)
    assert measured.megapixels_out == pytest.approx(16 * measured.megapixels)
    assert 0 < measured.seconds <= job.report["wall_s"] + 1
    found = estimate_of(estimated(context, clip, LOSSLESS))
    assert found["seconds"] == pytest.approx(measured.seconds, abs=0.02)
    assert found["result_bytes"] == pytest.approx(job.report["result_bytes"], abs=1)
    assert found["wait_s"] == 0


def test_jobs_that_are_there_are_waited_for(context: WorkerContext, clip: Path) -> None:
    known = Measured(
        job="j", megapixels=1, megapixels_out=16, seconds=1000, result_bytes=1, coded_as="ffv1 None"
    )
    context.store.note_pace(pace_name("video", "small"), known)
    local.accept(context, clip, LOSSLESS)
    made = local.accept(context, clip, LOSSLESS)
    context.store.delete(made.id)
    job = made.model_copy(update={"is_estimate": True})
    manifest.forget(context.storage, made.id)
    context.storage.put_file(keys.input_key(job.id), clip)
    manifest.save(context.storage, Manifest(job=job))
    context.store.create(job)
    context.draining.clear()
    runner._run_next(context, (job.id, "plan"), context.runtimes)  # the first turn, and no other
    found = estimate_of(context.store.get(job.id))
    assert found["wait_s"] == pytest.approx(found["seconds"], rel=0.01)


def test_an_estimate_of_a_picture_names_its_own_format(context: WorkerContext, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 10)).save(path)
    found = estimate_of(estimated(context, path, Options(model="bicubic", scale=2)))
    assert (found["frames"], found["width"], found["height"], found["format"]) == (1, 40, 20, "png")


def test_what_a_job_would_be_refused_for_its_estimate_says(context: WorkerContext, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    job = estimated(context, path, Options())
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "broken_media"


def test_a_sample_is_three_seconds_done_at_once_by_who_planned_it(
    context: WorkerContext, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / "long.mp4", 150, width=40, height=32)  # six seconds
    options = Options(model="bicubic", codec="ffv1", format="mkv", sample=True)
    job_id = local.accept(context, path, options).id
    runner._run_next(context, (job_id, "plan"), None)  # as the stream that is kept for pictures
    job = context.store.get(job_id)
    assert len(result_frames(context, job, tmp_path)) == 75
    assert job.report is not None
    [notice] = (each for each in job.report["notices"] if each.startswith("a sample: 3 seconds"))
    assert f"from {job.report['start_s']:g} s on" in notice


def test_a_meter_tells_what_was_done_since() -> None:
    now = 0.0
    meter = Meter(lambda: now)
    for _ in range(10):
        now += 1
        meter.add(2)
    assert meter.since(3.5) == pytest.approx(8)
    assert meter.since(100) == pytest.approx(20)
    assert meter.since(0) <= 2
