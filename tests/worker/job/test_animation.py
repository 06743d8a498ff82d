"""An animation's job: cut, upscaled and joined like a video's, with the same end however often it is left."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from service.jobs.model import Job, Options
from service.jobs.states import JobState
from tests.worker.job.conftest import SEGMENT
from tests.worker.job.test_runner import accept, after_frames, drain_queue, run
from worker.job import runner
from worker.job.context import WorkerContext
from worker.media.checking.compare import read_times

FRAMES = 2 * SEGMENT + 3


@pytest.fixture(scope="module")
def animation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = []
    for index in range(FRAMES):
        frame = Image.new("RGBA", (40, 30))
        ImageDraw.Draw(frame).ellipse([index, 5, index + 16, 21], fill=(200, 10 * index, 60, 255))
        frames.append(frame)
    path = tmp_path_factory.mktemp("animation") / "ball.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, loop=2, disposal=2)
    return path


def result(context: WorkerContext, job: Job) -> bytes:
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.result_key is not None
    return context.storage.get(job.result_key)


def options(**given: object) -> Options:
    return Options.model_validate({"model": "small", **given})


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_job_that_was_cut_ends_with_the_same_bytes(
    context: WorkerContext, animation: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    undisturbed = result(context, run(context, accept(context, animation, options(format=kind))))
    job_id = accept(context, animation, options(format=kind))
    after_frames(monkeypatch, SEGMENT + 2, context.draining.set)
    assert run(context, job_id).state is JobState.RUNNING
    successor = replace(context, draining=threading.Event())
    runner.run(successor, job_id, "segment/1")
    assert result(successor, drain_queue(successor, job_id)) == undisturbed


def test_the_report_says_what_became_of_it(context: WorkerContext, animation: Path) -> None:
    report = run(context, accept(context, animation, options())).report
    assert report is not None
    assert (report["frames_in"], report["frames_out"], report["segments"]) == (FRAMES, FRAMES, 3)
    assert (report["plays"], report["transparent"], report["notices"]) == (3, True, [])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_video_of_it_has_its_times_and_lies_on_white(
    context: WorkerContext, animation: Path, tmp_path: Path, container: str
) -> None:
    job = run(context, accept(context, animation, options(format=container)))
    path = tmp_path / f"out.{container}"
    path.write_bytes(result(context, job))
    found = read_times(path)
    assert [time * found.time_base * 1000 for time in found.times] == [50 * index for index in range(FRAMES)]
    assert job.report is not None
    assert "laid on white" in job.report["notices"][0]
