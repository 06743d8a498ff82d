import itertools

import cv2
import numpy as np
import pytest

from model_core import dis
from model_core.config import FlowName
from model_core.dis import PRESETS, DisFlow


@pytest.mark.parametrize(("kind", "tolerance"), [("dis", 0.05), ("dis-fast", 0.1)])
def test_dis_finds_a_known_shift(kind: FlowName, tolerance: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    previous = cv2.GaussianBlur(noise, (0, 0), 2)
    frame = np.roll(previous, (1, 2), (0, 1))  # one down, two to the right
    flow = DisFlow(kind)(previous, frame)
    assert np.abs(flow[:, 10:-10, 10:-10].mean((1, 2)) - (-2, -1)).max() < tolerance


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (33, 31), (90, 120)])
def test_any_size_has_a_flow(size: tuple[int, int]) -> None:
    blank = np.zeros((*size, 3), np.uint8)
    for kind in PRESETS:
        assert DisFlow(kind)(blank, blank).shape == (2, *size)


@pytest.mark.parametrize("kind", sorted(PRESETS))
def test_large_frames_whose_buffers_are_not_kept_have_the_same_flow(
    kind: FlowName, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8)
    keeping = DisFlow(kind)
    wanted = [keeping(*pair) for pair in itertools.pairwise(frames)]
    monkeypatch.setattr(dis, "KEPT_PIXELS_MAX", 0)
    dropping = DisFlow(kind)
    found = [dropping(*pair) for pair in itertools.pairwise(frames)]  # the second crashed the process
    np.testing.assert_array_equal(found, wanted)
