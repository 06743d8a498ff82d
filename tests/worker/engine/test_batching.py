"""The contract of every backend: a stream's output in any company equals its output alone."""

import numpy as np
import pytest
import torch

from model_core.recurrence import State, estimate_flow, step
from tests.worker.engine.alongside import run_alongside
from tests.worker.engine.judge import Clip, assert_levels_close, make_picture_model, upscale_alone
from worker.engine.backends.base import Turn
from worker.engine.backends.openvino import OpenVinoBackend
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine

SHAPES = [(16, 24), (16, 24), (16, 24), (21, 13)]  # most share a shape; one is odd on both sides


RUNS = [(TorchBackend, kind) for kind in ("dis", "memory", "fnet")]
RUNS += [(OpenVinoBackend, kind) for kind in ("dis", "memory", "transposed")]
BACKENDS = [TorchBackend, OpenVinoBackend]


@pytest.mark.parametrize(("backend", "kind"), RUNS)
def test_outputs_in_any_batch_equal_outputs_alone_after_a_hundred_frames(backend, kind, request):
    """Guards against state leaking between streams that join and leave, and flows meeting the wrong frame."""
    model = request.getfixturevalue(f"model_{kind}")
    flow = model.config.flow
    lengths = [100, 30, 7, 60]
    clips = [
        Clip(seed, shape, length, flow=flow, rounds=0.1)
        for seed, (shape, length) in enumerate(zip(SHAPES, lengths, strict=True))
    ]
    batches: list[int] = []
    with Engine(backend(model), batch_max=3, on_batch=batches.append) as engine:
        outputs = run_alongside(engine, clips, seed=1)
    for found, clip in zip(outputs, clips, strict=True):
        assert_levels_close(found, upscale_alone(model, clip))
    assert sum(batches) == sum(lengths)
    assert max(batches) >= 2  # or this test has shown nothing


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("generator", ["srcnn", "srresnet", "rrdb", "compact"])
def test_networks_for_pictures_are_streams_without_memory(backend, generator):
    """In a batch, in tiles, in streams that end anywhere: each output is that of its frame alone."""
    model = make_picture_model(generator, blocks=1)
    clips = [Clip(seed, shape, 8, flow="none") for seed, shape in enumerate([(60, 50), (60, 50), (16, 24)])]
    clips[0].rounded[3] = True
    runs = backend(model, tile_pixels_max=55 * 55)
    with Engine(runs) as engine:
        outputs = run_alongside(engine, clips, seed=6, cuts={0: 4})
    for found, clip in zip(outputs, clips, strict=True):
        assert_levels_close(found, upscale_alone(model, clip))
    batch = runs.step([Turn(None, clip.frames[3]) for clip in clips[:2]])
    assert all(row.state is None for row in batch)
    for row, found in zip(batch, outputs, strict=False):
        assert_levels_close([row.output], found[3][None])


@pytest.mark.parametrize(("backend", "kind"), RUNS)
def test_a_stream_resumed_from_its_stored_frame_and_output_equals_one_left_undisturbed(
    backend, kind, request
):
    model = request.getfixturevalue(f"model_{kind}")
    flow = model.config.flow
    clips = [Clip(seed, SHAPES[seed], 24, flow=flow) for seed in range(4)]
    cuts = {0: 5, 1: 12, 3: 23}
    for index, cut in cuts.items():
        clips[index].rounded[cut - 1] = True
        if model.config.flow_comes_along:
            assert clips[index].flows[cut] is not None  # the first frame after a cut still has its flow
    with Engine(backend(model)) as engine:
        outputs = run_alongside(engine, clips, seed=2, cuts=cuts)
    for found, clip in zip(outputs, clips, strict=True):
        expected = upscale_alone(model, clip)
        assert_levels_close(found, expected)


def test_rounding_the_state_is_what_makes_a_resumed_stream_equal(model_dis):
    """Without it the first frames after the cut differ: the test above could not fail otherwise."""
    clip = Clip(0, length=12)
    plain = upscale_alone(model_dis, clip)
    clip.rounded[:] = True
    assert (upscale_alone(model_dis, clip) != plain).mean() > 0.01


@pytest.mark.parametrize(("backend", "kind"), [run for run in RUNS if run[1] != "fnet"])
def test_a_backend_in_tiles_equals_a_whole_one(backend, kind, request):
    model = request.getfixturevalue(f"model_{kind}")
    clip = Clip(3, (40, 52), 12)
    with Engine(backend(model, tile_pixels_max=26 * 26)) as engine:
        [outputs] = run_alongside(engine, [clip], seed=3)
    difference = np.abs(np.stack(outputs).astype(int) - upscale_alone(model, clip))
    assert difference.max() <= 1


def test_bfloat16_stays_near_float32_in_a_batch(model_dis):
    """By PyTorch, which emulates it anywhere; OpenVINO has it where the processor has."""
    clips = [Clip(seed, length=20) for seed in range(3)]
    with Engine(TorchBackend(model_dis, precision="bfloat16")) as engine:
        outputs = run_alongside(engine, clips, seed=4)
    for found, clip in zip(outputs, clips, strict=True):
        expected = upscale_alone(model_dis, clip)
        assert np.abs(np.stack(found).astype(int) - expected).mean() < 1
        assert (np.stack(found) != expected).any()  # it did compute in another format


def test_weights_narrowed_once_give_what_casting_them_in_every_step_gives(model_memory):
    clip = Clip(2, length=8, flow="dis-fast")
    with Engine(TorchBackend(model_memory, precision="bfloat16")) as engine:
        [outputs] = run_alongside(engine, [clip], seed=8)
    with torch.autocast("cpu", torch.bfloat16):
        expected = upscale_alone(model_memory, clip)
    assert np.array_equal(np.stack(outputs), expected)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["dis", "memory", "fnet"])
def test_the_networks_of_these_tests_depend_on_their_state_and_their_flow(kind, request):
    """Every test above rests on this: a lost state or flow must show in many levels."""
    model = request.getfixturevalue(f"model_{kind}")
    clip = Clip(5, length=3, flow=model.config.flow)
    low = torch.from_numpy(clip.frames).permute(0, 3, 1, 2) / 255
    hidden = 2 * torch.rand(1, model.config.hidden, 16, 24) - 1
    state = State(low[:1], torch.rand(1, 3, 64, 96), hidden)
    flow_low = torch.zeros(1, 2, 16, 24) + 1.5

    def apart(state: State, flow_low: torch.Tensor = flow_low, ahead: torch.Tensor = low[2:]) -> float:
        high = step(model, state, low[1:2], flow_low, ahead=ahead)[1].clamp(0, 1)
        return float((high - whole).abs().mean() * 255)

    whole = step(model, state, low[1:2], flow_low, ahead=low[2:])[1].clamp(0, 1)
    assert apart(State.clean(model.config, low[:1])) > 10
    assert apart(state, flow_low * 0) > 10
    if kind == "memory":
        assert apart(State(low[1:2], state.output, hidden)) > 2
        assert apart(State(low[:1], state.output, 0 * hidden)) > 2
        assert apart(state, ahead=low[1:2]) > 2
    if kind == "fnet":
        assert estimate_flow(model, low[:1], low[1:2]).abs().mean() > 0.3
