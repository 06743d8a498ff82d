"""Frames that repeat the one before are not computed again, and nobody can tell but by the time it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.checkpoint import load
from model_core.dis import DisFlow
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import State, step
from tests.worker.job.conftest import SEGMENT
from tests.worker.job.test_runner import accept, frames_of, result_frames, run
from tests.worker.media.clips import make_clip, numbered
from worker.engine.backends.openvino import OpenVinoBackend
from worker.job.context import WorkerContext
from worker.job.steps import segment
from worker.job.steps.reuse import SETTLED, last_computed, reused
from worker.media.types import Key, Timeline

# Held from frame 6 to 19, so over the whole of the second segment; once in pairs; once where a shot begins.
SHOWN = [0, 0, 1, 2, 3, 4, *[5] * 14, 6, 7, 7, 8]
COMPUTED = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
LED_BY = [3, 2, 1]  # frames of the clip, an eighth of it


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = list(numbered(9, 72, 48))
    folder = tmp_path_factory.mktemp("held")
    return make_clip(folder / "clip.mkv", [pictures[n] for n in SHOWN], width=72, height=48, codec="ffv1")


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each step of the backend computed."""
    counts: list[int] = []
    compute = OpenVinoBackend.step
    monkeypatch.setattr(
        OpenVinoBackend, "step", lambda self, turns: counts.append(len(turns)) or compute(self, turns)
    )
    return counts


def expected(folder: Path, low: np.ndarray) -> np.ndarray:
    """One pass over the frames that are computed, led into by the clip's first; the state is rounded where a
    segment ends in their hold."""
    model = load(folder / "model").model
    dis, state, highs = DisFlow(model.config.flow), None, []
    firsts = [*LED_BY, *(SHOWN.index(n, 1 if n == 0 and at else 0) for at, n in enumerate(COMPUTED))]
    pictures = [torch.from_numpy(low[index][None]) for index in firsts]
    for t, picture in enumerate(pictures):
        state = state or State.clean(model.config, to_float(picture))
        flow = dis(low[firsts[t - 1]], low[firsts[t]]) if t else np.zeros((2, 48, 72), np.float32)
        ahead = to_float(pictures[t + 1]) if t + 1 < len(pictures) else None
        with torch.inference_mode():
            state, high = step(model, state, to_float(picture), torch.from_numpy(flow)[None], ahead=ahead)
        if SHOWN[firsts[t]] == 5:  # both segments end while it is shown
            state = state.rounded()
        highs.append(to_uint8(high)[0].numpy())
    counts = [1, 1, *(SHOWN.count(n) for n in range(1, 9))]
    return np.repeat(np.stack(highs[len(LED_BY) :]), counts, axis=0)


@contextmanager
def nobody(*_: object) -> Iterator[None]:
    yield None


@pytest.mark.parametrize("handed_on", [False, True], ids=["in one go", "by another worker each time"])
def test_frames_that_repeat_are_not_computed_and_come_out_as_the_one_before(
    context: WorkerContext,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    handed_on: bool,
) -> None:
    assert len(SHOWN) == 3 * SEGMENT
    if handed_on:
        monkeypatch.setattr(segment, "_next_held", nobody)
    counted = count_steps(monkeypatch)
    job = run(context, accept(context, clip))
    found = result_frames(context, job, tmp_path)
    apart = np.abs(found.astype(int) - expected(tmp_path, frames_of(clip)))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001
    assert np.array_equal(found[6], found[19])
    assert job.report is not None
    assert job.report["frames_reused"] == len(SHOWN) - len(COMPUTED)
    checks = 3  # frames of the picture by which a model's runtime is checked when it is loaded
    if not handed_on:
        assert sum(counted) == len(LED_BY) + len(COMPUTED) + checks


def test_where_a_shot_begins_the_same_frame_is_computed_some_times() -> None:
    frames = 30
    timeline = Timeline(
        time_base=Fraction(1), times=tuple(range(frames)), duration=1, keys=(Key(0, 0),), cuts=(10,),
        repeats=(*range(1, 10), *range(11, 20), 25),
    )  # fmt: skip
    assert reused(timeline) == {*range(SETTLED, 10), *range(10 + SETTLED, 20), 25}
    assert last_computed(9, reused(timeline)) == SETTLED - 1
    assert last_computed(24, reused(timeline)) == 24


def test_plans_of_former_versions_know_of_no_repeats() -> None:
    former = Timeline(time_base=Fraction(1), times=(0, 1), duration=1, keys=(Key(0, 0),)).to_json()
    former.pop("repeats")
    assert Timeline.from_json(former).repeats == ()
