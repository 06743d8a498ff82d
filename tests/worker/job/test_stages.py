import threading
import time

import pytest

from worker.job.stages import Stages


def test_seconds_are_summed_by_stage_and_taken_once() -> None:
    stages = Stages()
    for _ in range(2):
        with stages.timed("encode"):
            time.sleep(0.01)
    stages.add({"encode": 1.0, "flow": 2.0})
    taken = stages.take()
    assert taken["encode"] == pytest.approx(1.02, abs=0.5)
    assert taken["encode"] >= 1.02
    assert taken["flow"] == 2.0
    assert stages.take() == {}


def test_time_that_ends_in_an_error_counts_too() -> None:
    stages = Stages()
    with pytest.raises(ValueError, match="broken"), stages.timed("decode"):
        raise ValueError("broken")
    assert stages.take().keys() == {"decode"}


def test_no_second_is_lost_between_threads() -> None:
    stages, taken = Stages(), []
    threads = [
        threading.Thread(target=lambda: [stages.add({"flow": 1.0}) for _ in range(2000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken.append(stages.take().get("flow", 0.0))
    taken.append(stages.take().get("flow", 0.0))
    assert sum(taken) == 8000
