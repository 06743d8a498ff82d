"""A picture's whole job under one lease: what it makes, what interrupts it, and who shares a batch."""

import io
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from model_core.checkpoint import save
from model_core.config import ModelConfig
from model_core.model import build
from service.housekeeping.rebuilding import rebuild
from service.jobs import keys, manifest
from service.jobs.manifest import Segment
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Job, Options
from service.jobs.states import JobEvent, JobState
from service.objects import published
from tests.worker.job.test_runner import accept, drain_queue, run
from worker.engine.backends.base import Stepped, Turn
from worker.job import held as held_module
from worker.job import runner
from worker.job.context import WorkerContext
from worker.job.steps import picture

SMALL = Options(model="small")
ONE_FRAME = (Segment(index=0, frame_start=0, frame_stop=1),)
POINTS = ("read", "enlarge", "encode", "preview", "store", "succeed", "record")


class Killed(BaseException):
    """No error that a worker handles: as when its process is gone."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path / "picture.png")


LEASE_S = 15.0


class Clock:
    """The store's, which a test can move on."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fragile(context: WorkerContext, clock: Clock) -> WorkerContext:
    return replace(context, store=MemoryStore(lease_s=LEASE_S, attempts_max=9, clock=clock))


def made(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(pixels).save(path)
    return path


def result_of(context: WorkerContext, job: Job) -> bytes:
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.result_key is not None
    return context.storage.get(job.result_key)


def begin_and_kill(point: str, monkeypatch: pytest.MonkeyPatch, context: WorkerContext, job_id: str) -> None:
    """A worker comes to that point of the job and no further, and its lease runs out."""

    def killing(*_: object, **__: object) -> None:
        raise Killed

    place: dict[str, tuple[object, str]] = {
        "read": (picture, "_read"),
        "enlarge": (picture, "_enlarged"),
        "encode": (picture, "save_image"),
        "preview": (context.previews, "show"),
        "store": (context.storage, "put_file"),
        "succeed": (picture, "end"),
        "record": (context.store, "conclude"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*place[point], killing)
        with pytest.raises(Killed):
            runner.run(context, job_id, "plan")
    assert isinstance(context.store, MemoryStore)
    assert isinstance(context.store.now, Clock)
    context.store.now.ahead_s += LEASE_S + 1


def test_a_picture_passes_through_every_state_in_one_step(
    context: WorkerContext,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transition, seen = context.store.transition, []

    def noting(job_id: str, event: JobEvent, **changes: Any) -> Job:
        job = transition(job_id, event, **changes)
        seen.append((job.state, job.frames_done))
        return job

    monkeypatch.setattr(context.store, "transition", noting)
    job_id = accept(context, path, SMALL)
    runner.run(context, job_id, "plan")
    assert seen == [
        (JobState.PLANNING, 0),
        (JobState.RUNNING, 0),
        (JobState.ASSEMBLING, 1),
    ]
    assert context.queue.depth() == 0
    job = context.store.get(job_id)
    assert job.report is not None
    assert (job.frames_total, job.report["attempts"], job.report["segments"]) == (1, 1, 1)
    recorded = manifest.load(context.storage, job_id)
    assert recorded.job.state is JobState.SUCCEEDED
    assert recorded.job.report == job.report
    left = {key.removeprefix(keys.job_prefix(job_id)) for key in context.storage.list(keys.JOBS_PREFIX)}
    assert left == {"input", "job.json", "ended.json", "preview.jpg", "preview-pair.jpg", "result-1.png"}
    assert list(context.scratch.iterdir()) == []


@pytest.mark.parametrize("point", POINTS)
def test_a_picture_whose_worker_is_killed_anywhere_is_done_by_the_next(
    fragile: WorkerContext, path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    undisturbed = result_of(fragile, run(fragile, accept(fragile, path, SMALL)))
    job_id = accept(fragile, path, SMALL)
    begin_and_kill(point, monkeypatch, fragile, job_id)
    assert list(fragile.store.waiting(job_id)) == ["plan"]
    runner.run(fragile, job_id, "plan")
    job = fragile.store.get(job_id)
    assert result_of(fragile, job) == undisturbed
    assert (job.frames_done, job.frames_total) == (1, 1)


@pytest.mark.parametrize("point", POINTS)
def test_a_picture_killed_anywhere_survives_the_loss_of_the_store(
    fragile: WorkerContext, path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    undisturbed = result_of(fragile, run(fragile, accept(fragile, path, SMALL)))
    job_id = accept(fragile, path, SMALL)
    begin_and_kill(point, monkeypatch, fragile, job_id)
    rebuilt = replace(fragile, store=MemoryStore(lease_s=15, attempts_max=2))
    rebuild(rebuilt.store, rebuilt.storage)
    if point != "record":  # else the manifest says that it is done
        assert list(rebuilt.store.waiting(job_id)) == ["plan"]
        run(rebuilt, job_id)
    assert result_of(rebuilt, rebuilt.store.get(job_id)) == undisturbed


def test_the_next_attempt_keeps_the_version_that_the_first_one_pinned(
    fragile: WorkerContext, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = accept(fragile, path, SMALL)
    begin_and_kill("enlarge", monkeypatch, fragile, job_id)
    first = fragile.store.get(job_id).version
    torch.manual_seed(2)
    model = build(ModelConfig(generator="frvsr", flow="dis-fast", features=8, blocks=2))
    second = save(tmp_path / "second", model, {})
    published.publish(fragile.storage, "small", second, tmp_path / "second")
    fragile.models._follow("small")
    assert fragile.models.resolve("small") == second != first
    runner.run(fragile, job_id, "plan")
    job = fragile.store.get(job_id)
    assert job.report is not None
    assert (job.version, job.report["version"]) == (first, first)


def in_mid_work(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something when the network is done."""
    reduced = picture.reduced

    def acting(high: Any, size: Any) -> Any:
        act()
        return reduced(high, size)

    monkeypatch.setattr(picture, "reduced", acting)


def test_a_second_message_for_a_picture_in_work_changes_nothing(
    context: WorkerContext,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = accept(context, path, SMALL)
    in_mid_work(monkeypatch, lambda: runner.run(context, job_id, "plan"))
    job = run(context, job_id)
    result_of(context, job)
    assert job.report is not None
    assert job.report["attempts"] == 1
    runner.run(context, job_id, "plan")
    assert context.store.get(job_id) == job


def test_a_picture_cancelled_in_mid_work_leaves_no_result(
    context: WorkerContext,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = accept(context, path, SMALL)
    in_mid_work(monkeypatch, lambda: context.store.transition(job_id, JobEvent.CANCEL))
    assert run(context, job_id).state is JobState.CANCELLED
    assert not list(context.storage.list(keys.results_prefix(job_id)))
    assert list(context.scratch.iterdir()) == []


def test_a_picture_given_back_by_a_worker_that_ends_is_done_by_another(
    context: WorkerContext,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = accept(context, path, SMALL)
    in_mid_work(monkeypatch, context.draining.set)
    assert run(context, job_id).state is JobState.RUNNING
    assert context.store.waiting(job_id) == ["plan"]
    other = replace(context, draining=threading.Event())
    monkeypatch.undo()
    runner.run(other, job_id, "plan")
    job = context.store.get(job_id)
    result_of(context, job)
    assert job.report is not None
    assert job.report["attempts"] == 1  # what was given back did not count


@pytest.mark.parametrize("step", ["segment/0", "assemble"])
def test_a_picture_that_the_former_version_left_in_the_store_is_done(
    context: WorkerContext,
    path: Path,
    step: str,
) -> None:
    job_id = accept(context, path, SMALL)
    lease = context.store.acquire(job_id, "plan", "former")
    assert lease is not None
    context.store.transition(job_id, JobEvent.PLANNING_STARTED)
    context.store.set_segments(job_id, ONE_FRAME)
    context.store.transition(job_id, JobEvent.PLANNED, frames_total=1)
    assert context.store.finish(lease)
    if step == "assemble":
        lease = context.store.acquire(job_id, "segment/0", "former")
        assert lease is not None
        assert context.store.finish(lease, part_key=keys.part_key(job_id, 0, lease.fence))
    assert list(context.store.waiting(job_id)) == [step]
    runner.run(context, job_id, step)
    job = drain_queue(context, job_id)
    result_of(context, job)
    assert job.frames_done == 1


def batches_of(
    context: WorkerContext, model_name: str, jobs: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Frames in each call of the model's network where all of these pictures wait for it together."""
    batches: list[int] = []
    with context.models.acquire(model_name) as model, ThreadPoolExecutor(len(jobs)) as pool:
        monkeypatch.setattr(model.engine._runner, "_on_batch", batches.append)
        with model.engine._device:  # held, so that whoever comes waits
            running = [pool.submit(runner.run, context, job_id, "plan") for job_id in jobs]
            deadline = time.monotonic() + 20
            while model.engine.waiting_count < len(jobs) and time.monotonic() < deadline:
                time.sleep(0.01)
        for future in running:
            future.result()
    return batches


def test_pictures_of_one_size_that_wait_together_share_the_batch(
    context: WorkerContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [accept(context, made(tmp_path / f"{seed}.png", seed), SMALL) for seed in range(4)]
    batches = batches_of(context, "small", jobs, monkeypatch)
    assert sum(batches) == len(jobs)
    assert len(batches) <= 2  # the first tick was decided before the others came
    for job_id in jobs:
        result_of(context, context.store.get(job_id))


@pytest.mark.parametrize("scale", [2, 4])
def test_the_preview_of_a_picture_is_its_result(
    context: WorkerContext,
    tmp_path: Path,
    scale: int,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    job = run(context, accept(context, tmp_path / "picture.png", Options(model="small", scale=scale)))
    assert job.result_key is not None, job.error
    with Image.open(io.BytesIO(context.storage.get(job.result_key))) as image:
        result = np.asarray(image).astype(int)
    with Image.open(io.BytesIO(context.storage.get(keys.preview_key(job.id)))) as image:
        assert (image.format, image.size) == ("JPEG", (56 * scale, 40 * scale))
        assert np.abs(np.asarray(image) - result).mean() < 12  # what JPEG makes of noise


def test_a_picture_may_take_longer_than_a_step_may_stand_still(
    context: WorkerContext, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with context.models.acquire("small") as model:
        step = model.engine.backend.step

        def slow(turns: Sequence[Turn]) -> list[Stepped]:
            with monkeypatch.context() as meanwhile:  # on a busy machine reading and writing take as long
                meanwhile.setattr(held_module, "STALL_S", 0.2)
                time.sleep(0.6)
            return step(turns)

        monkeypatch.setattr(model.engine.backend, "step", slow)
        job = run(context, accept(context, path, SMALL))
    assert job.state is JobState.SUCCEEDED


def alpha_through(context: WorkerContext, folder: Path, alpha: np.ndarray, **options: Any) -> np.ndarray:
    """The transparency of the result for that of the input; the colours are noise."""
    rgb = np.random.default_rng(0).integers(0, 256, (*alpha.shape, 3), np.uint8)
    Image.fromarray(np.dstack([rgb, alpha])).save(folder / "alpha.png")
    job = run(context, accept(context, folder / "alpha.png", Options(model="small", **options)))
    with Image.open(io.BytesIO(result_of(context, job))) as image:
        assert image.mode == "RGBA"
        return np.asarray(image)[..., 3]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_even_transparency_keeps_it_to_its_borders(
    context: WorkerContext, tmp_path: Path, level: int, scale: int
) -> None:
    """Guards against a network that draws on it: opaque pictures came back at 250 along their borders."""
    alpha = alpha_through(context, tmp_path, np.full((24, 32), level, np.uint8), scale=scale)
    assert alpha.shape == (24 * scale, 32 * scale)
    assert set(np.unique(alpha)) == {level}


def test_transparency_is_enlarged_by_bicubic(context: WorkerContext, tmp_path: Path) -> None:
    low = np.zeros((24, 32), np.uint8)
    low[8:16, 8:24] = 255
    alpha = alpha_through(context, tmp_path, low)
    wanted = cv2.resize(low, (128, 96), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(alpha, wanted)
