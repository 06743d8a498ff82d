"""Recorded steps give what the plain ones give, and take memory for a bounded number of shapes."""

import numpy as np
import pytest
import torch

from tests.worker.engine.alongside import run_alongside
from tests.worker.engine.judge import Clip, assert_levels_close, upscale_alone
from tests.worker.engine.recording import RecordingHost
from worker.engine.backends.base import Turn
from worker.engine.backends.replaying import PLAIN_RUNS, SHAPES_MAX, Replayer
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine


@pytest.mark.parametrize("kind", ["dis", "memory", "fnet"])
def test_streams_that_join_and_leave_recorded_steps_give_what_they_give_alone(kind, request):
    """Guards against a step that reads what another batch left at its places."""
    model = request.getfixturevalue(f"model_{kind}")
    shapes = [(16, 24), (16, 24), (16, 24), (21, 13)]
    clips = [
        Clip(seed, shape, length, flow=model.config.flow, rounds=0.1)
        for seed, (shape, length) in enumerate(zip(shapes, [60, 30, 7, 40], strict=True))
    ]
    place = RecordingHost()
    with Engine(TorchBackend(model, place=place), batch_max=3) as engine:
        outputs = run_alongside(engine, clips, seed=1)
    for found, clip in zip(outputs, clips, strict=True):
        assert_levels_close(found, upscale_alone(model, clip))
    assert len(place.recordings) >= 2
    assert place.replays > 60


def test_a_step_is_waited_for_once(model_memory):
    """Whatever it hands out: pictures, whether they are finite, and a state that is kept."""
    place = RecordingHost()
    backend = TorchBackend(model_memory, place=place)
    frame = np.full((16, 24, 3), 90, np.uint8)
    state = backend.start(frame, None)
    backend.step([Turn(state, frame), Turn(state, frame, keeps_state=True)])
    assert place.waits == 1


def test_where_no_recording_fits_steps_run_as_they_are_and_it_is_tried_once(model_dis):
    clip = Clip(1, length=12)
    place = RecordingHost(is_full=True)
    with Engine(TorchBackend(model_dis, place=place)) as engine:
        [outputs] = run_alongside(engine, [clip], seed=2)
    assert_levels_close(outputs, upscale_alone(model_dis, clip))
    assert place.refused == 1


def frames(count: int, height: int = 4, width: int = 4) -> torch.Tensor:
    return torch.full((count, height, width, 3), float(count))


def doubled(x: torch.Tensor) -> tuple[torch.Tensor]:
    return (x * 2,)


def test_shapes_that_come_once_or_twice_are_not_recorded():
    place = RecordingHost()
    replayer = Replayer(place, pixels_max=1000)
    for count in range(1, 20):
        for _ in range(PLAIN_RUNS):
            [made] = replayer.run("doubled", doubled, (frames(count),))
            assert made.unique().tolist() == [2 * count]
    assert not place.recordings
    replayer.run("doubled", doubled, (frames(3),))
    assert len(place.recordings) == 1


def test_recordings_hold_no_more_pixels_than_they_may_and_the_oldest_go_first():
    place = RecordingHost()
    replayer = Replayer(place, pixels_max=5 * 16)
    for count in (1, 2, 3):
        for _ in range(PLAIN_RUNS + 2):
            replayer.run("doubled", doubled, (frames(count),))
            assert replayer.pixels <= 5 * 16
    assert replayer.pixels == 5 * 16  # the second and the third
    before = len(place.recordings)
    replayer.run("doubled", doubled, (frames(2),))
    assert len(place.recordings) == before
    for _ in range(PLAIN_RUNS + 1):
        [made] = replayer.run("doubled", doubled, (frames(6),))  # never fits
    assert made.unique().tolist() == [12]
    assert len(place.recordings) == before
    replayer.forget()
    assert replayer.pixels == 0


def test_what_was_replayed_last_stays_as_it_was_when_the_next_is():
    replayer = Replayer(RecordingHost(), pixels_max=1000)
    made = [replayer.run("doubled", doubled, (frames(1) * factor,))[0] for factor in range(8)]
    assert [each.unique().item() for each in made] == [2.0 * factor for factor in range(8)]


def test_another_kind_of_step_for_the_same_shapes_is_recorded_apart():
    replayer = Replayer(RecordingHost(), pixels_max=1000)
    for _ in range(PLAIN_RUNS + 2):
        [twice] = replayer.run("doubled", doubled, (frames(1),))
        [thrice] = replayer.run("tripled", lambda x: (x * 3,), (frames(1),))
    assert (twice.unique().item(), thrice.unique().item()) == (2, 3)


def test_the_shapes_that_are_remembered_are_bounded():
    replayer = Replayer(RecordingHost(), pixels_max=10**6)
    for width in range(1, 3 * SHAPES_MAX):
        replayer.run("doubled", doubled, (frames(1, 1, width),))
    assert len(replayer._runs) == SHAPES_MAX
