"""What version ab2d232 left on disk still loads and goes on: models, jobs, states of segments and trainings.

That version's own code made the folder beside this: a tiny published model; one clip posted three times, of
which the first job was done, the second stopped after the first of its three segments, the third accepted;
a training of the preset frvsr_lite at a tiny size, and the configs of teco_lite's and real_lite's.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from service.housekeeping.sweeper import Sweeper
from service.jobs.memory.store import MemoryStore
from service.jobs.states import JobState
from service.objects.files import FileStorage
from service.settings import Settings
from tests.worker.job.test_runner import drain_queue, result_frames
from training.run.state import load_state, read_config
from training.run.train import begin
from worker.job.context import WorkerContext, open_context
from worker.offline.local import LocalQueue

FORMER = Path(__file__).with_name("ab2d232")
DONE, CUT, ACCEPTED = (FORMER / "jobs.txt").read_text().split()


@pytest.fixture
def context(tmp_path: Path) -> Iterator[WorkerContext]:
    torch.set_num_threads(1)
    shutil.copytree(FORMER / "objects", tmp_path / "objects")
    storage, store = FileStorage(tmp_path / "objects"), MemoryStore(lease_s=15, attempts_max=3)
    settings = Settings(data_dir=tmp_path, segment_frames_max=4, precision="float32")
    with open_context("me", settings, tmp_path, store=store, storage=storage, queue=LocalQueue()) as made:
        yield made


def test_jobs_of_the_former_version_go_on_where_they_were(
    context: WorkerContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A plan of today leads into its shots; the frames to compare with are of a version that had no lead-in.
    monkeypatch.setattr("worker.job.steps.plan.LEAD_IN", 0)
    sweeper = Sweeper(context.store, context.storage, context.queue, context.settings)
    sweeper.rebuild()
    done = context.store.get(DONE)
    assert done.state is JobState.SUCCEEDED
    wanted = result_frames(context, done, tmp_path)
    sweeper.requeue()
    for job_id in (CUT, ACCEPTED):
        job = drain_queue(context, job_id)
        apart = np.abs(result_frames(context, job, tmp_path).astype(int) - wanted)
        assert apart.max() <= 1  # another processor may round another way
        assert (apart > 0).mean() <= 0.001
    # Its first segment is the one that was stored, and the second began from the state beside it.
    cut = context.store.get(CUT)
    assert cut.frames_done == 12
    assert cut.report is not None
    assert cut.report["attempts"] == 3  # two segments and the assembly


def test_trainings_of_the_former_version_go_on() -> None:
    state = FORMER / "training" / "frvsr_lite" / "state"
    config = read_config(state)
    learner = begin(config, state, None, torch.device("cpu"))
    load_state(state, learner)
    assert learner.progress.step == 2
    moments = learner.optimisers["adam"].state[learner.model.generator.get_parameter("conv_in.weight")]
    assert moments["step"] == 2
    assert moments["exp_avg"].abs().max() > 0
    for preset in ("teco_lite", "real_lite"):
        assert read_config(FORMER / "training" / preset / "state").losses.gan_weight > 0
