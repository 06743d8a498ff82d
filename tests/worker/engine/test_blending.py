"""Strength: less of what the network made is shown, and neither the recurrence nor a neighbour notices."""

import cv2
import numpy as np
import pytest

from worker.engine.backends.torch import TorchBackend
from worker.engine.blending import blended
from worker.engine.engine import Engine

FRAMES = 4


def noise(seed: int, dtype: type = np.uint8) -> np.ndarray:
    last = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, last, (16, 24, 3), endpoint=True).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_it_goes_from_bicubic_to_what_the_network_made(dtype):
    low, high = noise(0, dtype), np.repeat(np.repeat(noise(1, dtype), 4, 0), 4, 1)
    plain = cv2.resize(low, (96, 64), interpolation=cv2.INTER_CUBIC)
    assert blended(high, low, 1.0) is high
    assert np.array_equal(blended(high, low, 0.0), plain)
    part = blended(high, low, 0.3)
    assert part.dtype == dtype
    assert np.abs(part - (0.3 * high + 0.7 * plain)).max() <= 0.51


def outputs(engine: Engine, *strengths: float) -> list[tuple[np.ndarray, object]]:
    """Of the same frames at each strength, all in one engine at once, with the state after them."""
    still = np.zeros((2, 16, 24), np.float32)
    streams = [engine.open(16, 24, strength=strength) for strength in strengths]
    for index in range(FRAMES):
        for stream in streams:
            stream.put(noise(index), still if index else None, keep_state=index == FRAMES - 1)
    made = []
    for stream in streams:
        stream.end()
        made.append((np.stack([stream.get() for _ in range(FRAMES)]), stream.take_snapshot()))
    return made


def test_streams_that_show_less_share_batches_and_states_with_those_that_show_all(model_dis):
    with Engine(TorchBackend(model_dis)) as engine:
        (whole, state), (half, same), (none, _) = outputs(engine, 1.0, 0.5, 0.0)
        [(alone, _)] = outputs(engine, 0.5)
    plain = [cv2.resize(noise(index), (96, 64), interpolation=cv2.INTER_CUBIC) for index in range(FRAMES)]
    assert np.array_equal(none, plain)
    assert np.abs(half - (whole.astype(float) + plain) / 2).max() <= 0.51
    assert np.abs(half.astype(int) - alone).max() <= 1
    assert np.array_equal(state.output, whole[-1])
    assert np.abs(state.output.astype(int) - same.output).max() <= 1
    assert not np.array_equal(same.output, half[-1])
