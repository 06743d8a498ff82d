"""A decoder that crashes costs the job whose file made it crash, and nothing else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.jobs import manifest
from service.jobs.states import JobState
from tests.worker.job import crashing
from tests.worker.job.test_runner import accept, clip, result_frames, run
from tests.worker.media.clips import make_clip
from worker.job import runner
from worker.job.context import WorkerContext
from worker.media.sandbox.keeper import KEEPER
from worker.offline.local import LocalQueue

__all__ = ["clip"]


@pytest.fixture
def crashing_readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(KEEPER, "_module", crashing.__name__)
    KEEPER.stop()
    yield
    KEEPER.stop()


@pytest.mark.usefixtures("crashing_readers")
def test_a_reader_that_crashes_in_mid_job_fails_that_job_and_no_other(
    context: WorkerContext, clip: Path, tmp_path: Path
) -> None:
    alone = result_frames(context, run(context, accept(context, clip)), tmp_path)
    poison = make_clip(tmp_path / "poison.mp4", 24, width=crashing.WIDTH, height=48)
    ids = [accept(context, path) for path in (clip, poison, clip)]
    queue = context.queue
    assert isinstance(queue, LocalQueue)
    for job_id in ids:
        runner.run(context, job_id, "plan")
    with ThreadPoolExecutor(len(ids)) as pool:  # all their segments at once
        list(pool.map(lambda job_id: runner.run(context, job_id, "segment/0"), ids))
    first, broken, last = (run(context, job_id) for job_id in ids)

    assert broken.state is JobState.FAILED
    assert broken.error is not None
    assert (broken.error.code, "crashed" in broken.error.message) == ("broken_media", True)
    assert manifest.load(context.storage, broken.id).job.state is JobState.FAILED
    assert context.store.steps(broken.id) == {}
    for job in (first, last, run(context, accept(context, clip))):  # the worker goes on, too
        assert np.array_equal(result_frames(context, job, tmp_path), alone)
        assert job.report is not None
        assert job.report["attempts"] == alone_attempts(job.report)


def alone_attempts(report: dict[str, int]) -> int:
    """One for each segment, the plan and the assembly."""
    return report["segments"] + 2
