"""Which of a worker's streams are for anything, and which for pictures only."""

from contextlib import ExitStack

import pytest

from worker.job.streams import Streams


@pytest.mark.parametrize(("count", "for_videos"), [(1, 1), (3, 3), (4, 3), (8, 7)])
def test_a_worker_of_many_streams_keeps_one_for_pictures(count: int, for_videos: int) -> None:
    streams = Streams(count)
    for _ in range(2):  # what was left is free again
        with ExitStack() as steps:
            entered = [steps.enter_context(streams.entered()) for _ in range(count)]
        assert entered == [True] * for_videos + [False] * (count - for_videos)
