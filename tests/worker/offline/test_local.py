"""Work without a server: the same frames as a service is tested in tests/integration; here, who runs when."""

import threading
from typing import cast

import pytest

from service.settings import Settings
from worker.job import runner
from worker.job.context import WorkerContext
from worker.offline import local
from worker.offline.local import LocalQueue


class _Context:
    settings = Settings(worker_streams=2)


def test_a_step_that_is_queued_while_another_runs_begins_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, beside, ended = LocalQueue(), threading.Event(), []

    def run(_context: WorkerContext, job_id: str, step: str) -> None:
        if step == "plan":
            queue.enqueue(job_id, "segment/0")
            assert beside.wait(20)
        else:
            beside.set()
        ended.append(step)

    monkeypatch.setattr(runner, "run", run)
    local._run_all(cast("WorkerContext", _Context), queue, "job")
    assert sorted(ended) == ["plan", "segment/0"]
    assert queue.depth() == 0
