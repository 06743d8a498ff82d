"""The short form of `make chaos`: a few of each run's disturbances, the same every time."""

from pathlib import Path

import pytest

from tests.chaos.storm import storm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_no_promise_is_broken_by_a_few_disturbances_at_random(tmp_path: Path) -> None:
    told: list[str] = []
    outcome = storm(seed=1, kills=6, folder=tmp_path, tell=told.append)
    assert outcome.is_well, "\n".join([*told, str(outcome.broken), *outcome.fell])
    assert outcome.jobs > 0
