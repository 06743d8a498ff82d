"""`model=auto`: chosen once by the first decode, pinned, and told."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from service.auto import AUTO, PERCEPTUAL, REAL, WHOLE, Choice
from service.housekeeping.rebuilding import rebuild
from service.jobs import manifest
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Job, Options
from service.jobs.states import JobState
from tests.worker.job.test_estimate import estimate_of, estimated
from tests.worker.job.test_picture import LEASE_S, Clock, batches_of, begin_and_kill
from tests.worker.job.test_runner import accept, drain_queue, run
from tests.worker.media.clips import Rgb, make_clip, numbered
from worker.job import runner
from worker.job.context import WorkerContext
from worker.job.steps import picture, plan

FRAMES = 6
LOSSLESS = Options(model=AUTO, codec="ffv1", format="mkv")


def noisy(frame: Rgb, seed: int = 0) -> Rgb:
    noise = np.random.default_rng(seed).normal(0, 15, frame.shape)
    return np.asarray((frame + noise).round().clip(0, 255), np.uint8)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("auto") / "clean.mp4", FRAMES, options={"crf": "10"})


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = [noisy(frame, seed) for seed, frame in enumerate(numbered(FRAMES))]
    path = tmp_path_factory.mktemp("auto") / "spoilt.mkv"
    return make_clip(path, frames, codec="ffv1", pix_fmt="bgr0")


def picture_file(path: Path, *, is_noisy: bool, seed: int = 0) -> Path:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    frame = np.asarray(cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC), np.uint8)
    Image.fromarray(noisy(frame) if is_noisy else frame).save(path)
    return path


def taken(job: Job) -> tuple[str | None, str]:
    """Model and the reason for it, of a job that succeeded."""
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.report is not None
    assert job.report["model"] == job.model
    return job.model, job.report["model_reason"]


def test_a_video_is_made_by_what_suits_it_and_the_report_says_why(
    context: WorkerContext, clean: Path, spoilt: Path
) -> None:
    model, reason = taken(run(context, accept(context, clean, LOSSLESS)))
    assert model == PERCEPTUAL
    assert "H.264 quantiser" in reason
    model, reason = taken(run(context, accept(context, spoilt, LOSSLESS)))
    assert model == REAL
    assert "noisy" in reason


def test_auto_is_what_is_taken_when_nobody_says(context: WorkerContext, spoilt: Path, tmp_path: Path) -> None:
    assert taken(run(context, accept(context, spoilt, Options())))[0] == REAL
    path = picture_file(tmp_path / "picture.png", is_noisy=True)
    assert taken(run(context, accept(context, path, Options())))[0] == REAL


def test_a_picture_is_made_by_what_suits_it(context: WorkerContext, tmp_path: Path) -> None:
    for is_noisy, expected in ((False, PERCEPTUAL), (True, REAL)):
        path = picture_file(tmp_path / f"{expected}.png", is_noisy=is_noisy)
        model, reason = taken(run(context, accept(context, path, Options(model=AUTO))))
        assert model == expected
        assert "nois" in reason


def test_who_names_a_model_gets_it_and_no_reason(
    context: WorkerContext, spoilt: Path, tmp_path: Path
) -> None:
    for path in (spoilt, picture_file(tmp_path / "picture.png", is_noisy=True)):
        report = run(context, accept(context, path, Options(model="small"))).report
        assert report is not None
        assert (report["model"], "model_reason" in report) == ("small", False)


def test_auto_says_how_much_is_shown_as_well_unless_the_sender_did(
    context: WorkerContext, spoilt: Path, tmp_path: Path
) -> None:
    drawn = picture_file(tmp_path / "picture.png", is_noisy=True)
    for path, options in ((drawn, Options(model=AUTO)), (spoilt, LOSSLESS)):
        found = run(context, accept(context, path, options)).report
        assert found is not None
        assert found["strength"] < WHOLE
        assert f"at {found['strength']} %" in found["model_reason"]
        same = options.model_copy(update={"model": REAL, "strength": found["strength"]})
        named = run(context, accept(context, path, same)).report
        asked = run(context, accept(context, path, options.model_copy(update={"strength": WHOLE}))).report
        assert named is not None
        assert asked is not None
        assert (named["strength"], asked["strength"]) == (found["strength"], WHOLE)
        if path is drawn:  # each Matroska file has a number of its own
            assert named["result_sha256"] == found["result_sha256"] != asked["result_sha256"]


def test_an_animation_is_chosen_for_as_well(context: WorkerContext, tmp_path: Path) -> None:
    first, *others = [Image.fromarray(noisy(frame)) for frame in numbered(3)]
    path = tmp_path / "animation.png"
    first.save(path, save_all=True, append_images=others, duration=40)
    assert taken(run(context, accept(context, path, Options(model=AUTO))))[0] == REAL


def test_an_input_too_small_to_measure_is_made_all_the_same(context: WorkerContext, tmp_path: Path) -> None:
    Image.new("RGB", (7, 5), "red").save(tmp_path / "small.png")
    model, reason = taken(run(context, accept(context, tmp_path / "small.png", Options(model=AUTO))))
    assert model == PERCEPTUAL
    assert "too little" in reason


def test_what_was_chosen_stands_whoever_goes_on_and_whatever_auto_would_take_then(
    context: WorkerContext, spoilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = accept(context, spoilt, LOSSLESS)
    context.draining.clear()
    runner._run_next(context, (job_id, "plan"), context.runtimes)
    assert context.store.get(job_id).model == REAL
    monkeypatch.setattr(plan, "decide", lambda *_: Choice(model=PERCEPTUAL, reason="another rule"))
    rebuilt = replace(context, store=MemoryStore(lease_s=15, attempts_max=2))
    rebuild(rebuilt.store, rebuilt.storage)
    for step in list(rebuilt.store.waiting(job_id)):
        runner.run(rebuilt, job_id, step)
    model, reason = taken(drain_queue(rebuilt, job_id))
    assert model == REAL
    assert "nois" in reason
    found = manifest.load(context.storage, job_id).plan
    assert found is not None
    assert (found.model, found.model_reason) == (REAL, reason)


def test_a_picture_that_is_begun_again_keeps_its_model(
    context: WorkerContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture_file(tmp_path / "picture.png", is_noisy=True)
    fragile = replace(context, store=MemoryStore(lease_s=LEASE_S, attempts_max=9, clock=Clock()))
    job_id = accept(fragile, path, Options(model=AUTO))
    begin_and_kill("enlarge", monkeypatch, fragile, job_id)
    assert fragile.store.get(job_id).model == REAL
    monkeypatch.setattr(picture, "decide", lambda *_: Choice(model=PERCEPTUAL, reason="another rule"))
    runner.run(fragile, job_id, "plan")
    job = fragile.store.get(job_id)
    assert job.report is not None
    assert (job.model, job.report["model"], "model_reason" in job.report) == (REAL, REAL, False)


def test_an_estimate_says_what_auto_would_take(
    context: WorkerContext, clean: Path, spoilt: Path, tmp_path: Path
) -> None:
    drawn = picture_file(tmp_path / "picture.png", is_noisy=True)
    for path, expected in ((clean, PERCEPTUAL), (spoilt, REAL), (drawn, REAL)):
        options = Options(model=AUTO) if path is drawn else LOSSLESS
        looked_into = estimated(context, path, options)
        estimate_of(looked_into)
        assert looked_into.report is not None
        done = taken(run(context, accept(context, path, options)))
        assert (looked_into.report["model"], looked_into.report["model_reason"]) == done
        assert done[0] == expected


def test_pictures_of_one_size_that_auto_judges_alike_share_the_batch(
    context: WorkerContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [picture_file(tmp_path / f"{seed}.png", is_noisy=True, seed=seed) for seed in range(4)]
    jobs = [accept(context, path, Options(model=AUTO)) for path in paths]
    batches = batches_of(context, REAL, jobs, monkeypatch)
    assert sum(batches) == len(jobs)
    assert len(batches) <= 2  # the first tick was decided before the others came
    assert {taken(context.store.get(job_id))[0] for job_id in jobs} == {REAL}
