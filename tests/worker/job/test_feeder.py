"""What is fed before a shot begins, and that nobody sees it."""

from typing import Any

import numpy as np
import pytest
import torch

from model_core.config import ModelConfig
from model_core.dis import DisFlow
from model_core.model import Model
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import State, step
from tests.worker.engine.judge import make_model
from tests.worker.media.clips import numbered
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine
from worker.job.steps.feeder import LEAD_IN, Feeder, lead_in

SIZE = (32, 48)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return list(numbered(10, SIZE[1], SIZE[0]))


def fed(model: Model, frames: list[np.ndarray], lead: int) -> list[np.ndarray]:
    """What comes out of a stream that a feeder fills."""
    found = []
    with Engine(TorchBackend(model)) as engine, engine.open(*SIZE) as stream:
        drawn = (frame for frame in frames)
        with Feeder(stream, drawn, config=model.config, lead=lead):
            while (high := stream.get()) is not None:
                found.append(high)
    return found


def played(model: Model, frames: list[np.ndarray], order: list[int]) -> list[np.ndarray]:
    """By the reference, frame after frame in that order."""
    dis = DisFlow(model.config.flow)
    state, highs = State.clean(model.config, to_float(torch.from_numpy(frames[order[0]][None]))), []
    for before, t, after in zip([None, *order], order, [*order[1:], None], strict=False):
        motion = np.zeros((2, *SIZE), np.float32) if before is None else dis(frames[before], frames[t])
        ahead = None if after is None else to_float(torch.from_numpy(frames[after][None]))
        with torch.inference_mode():
            low = to_float(torch.from_numpy(frames[t][None]))
            state, high = step(model, state, low, torch.from_numpy(motion)[None], ahead=ahead)
        highs.append(to_uint8(high)[0].numpy())
    return highs


@pytest.mark.parametrize("lead", [0, 1, 5])
@pytest.mark.parametrize("kind", [{"flow": "dis"}, {"flow": "dis-fast", "window": 3, "hidden": 4}])
def test_a_shot_is_led_into_by_its_first_frames_played_towards_it(
    frames: list[np.ndarray], kind: dict[str, Any], lead: int
) -> None:
    model = make_model(**kind)
    found = fed(model, frames, lead)
    wanted = played(model, frames, [*range(lead, 0, -1), *range(10)])[lead:]
    assert len(found) == 10
    for t, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert np.abs(a.astype(int) - b).max() <= 1, t
    if lead:
        plain = played(model, frames, list(range(10)))
        assert np.abs(found[0].astype(int) - plain[0]).max() > 1  # or the lead-in does nothing


def test_a_lead_in_is_no_longer_than_an_eighth_of_the_shot() -> None:
    recurrent = ModelConfig(generator="frvsr", flow="dis")
    assert [lead_in(recurrent, count) for count in (1, 7, 8, 24, 39, 40, 1000)] == [0, 0, 1, 3, 4, 5, LEAD_IN]
    assert lead_in(ModelConfig(generator="srresnet", flow="none"), 1000) == 0


def test_a_shot_that_ends_within_its_lead_in_comes_out_whole(frames: list[np.ndarray]) -> None:
    assert len(fed(make_model(), frames[:3], 5)) == 3
    assert len(fed(make_model(), frames[:1], 5)) == 1
