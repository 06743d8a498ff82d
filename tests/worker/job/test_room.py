"""Steps that find the memory taken: they wait, are given back uncounted, and take turns."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.jobs.model import Options
from service.jobs.states import JobState
from service.jobs.steps import PLAN, segment_step
from tests.worker.media.clips import make_clip
from worker.engine.room import BYTES_A_PIXEL, Room
from worker.job import context as context_module
from worker.job import runner
from worker.job.context import WorkerContext
from worker.offline import local
from worker.offline.local import LocalQueue

WIDTH, HEIGHT = 72, 48
OPTIONS = Options(model="small")


@pytest.fixture
def narrow(context: WorkerContext) -> WorkerContext:
    """A worker with memory for one stream."""
    return replace(context, room=Room(WIDTH * HEIGHT * BYTES_A_PIXEL))


def picture(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_a_step_without_room_is_given_back_and_costs_no_attempt(
    narrow: WorkerContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_module, "ROOM_WAIT_S", 0.0)
    video = local.accept(narrow, make_clip(tmp_path / "clip.mp4", 6, width=WIDTH, height=HEIGHT), OPTIONS).id
    image = local.accept(narrow, picture(tmp_path / "picture.png"), OPTIONS).id
    with narrow.room.taken(WIDTH * HEIGHT, wait_s=0, on_wait=lambda: None):
        for _ in range(narrow.settings.attempts_max + 3):
            runner.run(narrow, video, PLAN)
            runner.run(narrow, video, segment_step(0))
            runner.run(narrow, image, PLAN)
        assert narrow.store.waiting(video) == [segment_step(0)]
        assert narrow.store.waiting(image) == [PLAN]
    runner.run(narrow, video, segment_step(0))
    runner.run(narrow, image, PLAN)
    for job_id in (video, image):
        job = narrow.store.get(job_id)
        assert job.state is JobState.SUCCEEDED, job.error


def test_steps_that_begin_at_once_take_turns(narrow: WorkerContext, tmp_path: Path) -> None:
    assert isinstance(narrow.queue, LocalQueue)
    jobs = [local.accept(narrow, picture(tmp_path / f"{n}.png", n), OPTIONS).id for n in range(6)]
    with ThreadPoolExecutor(len(jobs)) as threads:
        list(threads.map(lambda job_id: runner.run(narrow, job_id, PLAN), jobs))
    assert {narrow.store.get(job_id).state for job_id in jobs} == {JobState.SUCCEEDED}
    assert narrow.room.taken_bytes == 0
