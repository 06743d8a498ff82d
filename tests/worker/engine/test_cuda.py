"""The contract of test_batching.py on a CUDA device: what ships, in every format, against a pass on the CPU.

Needs pytest, torch, numpy, OpenCV and safetensors alone. Where pytest lacks plugins, leave our settings out:
`python -m pytest -c /dev/null --rootdir . --import-mode=importlib tests/worker/engine/test_cuda.py`
"""

import gc
import time

import numpy as np
import pytest
import torch

from model_core import checkpoint
from model_core.model import Model
from tests.worker.engine.alongside import run_alongside
from tests.worker.engine.judge import (
    Clip,
    PanningClip,
    assert_levels_close,
    make_model,
    make_picture_model,
    upscale_alone,
)
from worker.engine.backends.base import Turn
from worker.engine.backends.making import Maker
from worker.engine.backends.precision import LOSS_DB_MAX, native
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine
from worker.models.loader import check_runtime

DEVICE = "cuda"
NETWORKS = sorted(set(checkpoint.shipped()) - {"bicubic"})

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def shipped(name: str) -> Model:
    """A fresh copy each time: a backend takes its model to the device."""
    return checkpoint.load(checkpoint.shipped()[name]).model


class Judged:
    """Clips with what one pass on the CPU makes of them, computed once for all formats."""

    def __init__(self, name: str, clips: list[PanningClip]) -> None:
        self.name, self.clips = name, clips
        self.expected = [upscale_alone(shipped(name), clip) for clip in clips]

    def check(self, precision: str, outputs: list[list[np.ndarray]]) -> None:
        for found, expected, clip in zip(outputs, self.expected, self.clips, strict=True):
            if precision == "float32":
                assert_levels_close(found, expected)
                continue
            assert len(found) == len(expected)
            assert clip.psnr_db(expected) - clip.psnr_db(found) < LOSS_DB_MAX
            assert np.any(np.stack(found) != expected)  # it did compute in another format

    def backend(self, precision: str, **options) -> TorchBackend:
        return TorchBackend(shipped(self.name), device=DEVICE, precision=precision, **options)


@pytest.fixture(scope="module", params=NETWORKS)
def long(request) -> Judged:
    return Judged(request.param, [PanningClip(1, (54, 72), 100)])


@pytest.fixture(scope="module", params=NETWORKS)
def company(request) -> Judged:
    """One leaves early, one is cut, one has another shape, odd on both sides."""
    cut, lengths, shapes = 33, [100, 30, 7, 40], [(36, 48), (36, 48), (36, 48), (31, 45)]
    clips = [
        PanningClip(seed, shape, length, rounds=0.05)
        for seed, (shape, length) in enumerate(zip(shapes, lengths, strict=True))
    ]
    clips[0].rounded[cut - 1] = True
    return Judged(request.param, clips)


@pytest.mark.parametrize("precision", native("cuda"))
def test_a_hundred_frames_are_those_of_the_cpu(long, precision):
    with Engine(long.backend(precision)) as engine:
        long.check(precision, run_alongside(engine, long.clips, seed=1))


@pytest.mark.parametrize("precision", native("cuda"))
def test_streams_that_join_leave_and_resume_are_those_of_the_cpu(company, precision):
    batches: list[int] = []
    with Engine(company.backend(precision), on_batch=batches.append) as engine:
        company.check(precision, run_alongside(engine, company.clips, seed=2, cuts={0: 33}))
    assert max(batches) >= 2  # or this test has shown nothing


@pytest.mark.parametrize("precision", native("cuda"))
def test_frames_in_tiles_are_those_of_the_cpu(company, precision):
    backend = company.backend(precision, tile_pixels_max=35 * 47)  # smaller than most of these frames
    with Engine(backend) as engine:
        company.check(precision, run_alongside(engine, company.clips, seed=3))


@pytest.mark.parametrize("flow", ["fnet", "pyramid"])
def test_flows_by_a_network_are_those_of_the_cpu(flow):
    """Random weights, since no such model ships; every output depends on every flow before it."""
    clips = [Clip(seed, (32, 40), 30, flow=flow) for seed in range(3)]
    with Engine(TorchBackend(make_model(flow), device=DEVICE)) as engine:
        outputs = run_alongside(engine, clips, seed=4)
    for found, clip in zip(outputs, clips, strict=True):
        assert_levels_close(found, upscale_alone(make_model(flow), clip))


@pytest.mark.parametrize("generator", ["srcnn", "srresnet", "rrdb", "compact"])
def test_networks_for_pictures_are_those_of_the_cpu(generator):
    clips = [Clip(seed, (60, 50), 4, flow="none") for seed in range(2)]
    model = make_picture_model(generator, blocks=1)
    with Engine(TorchBackend(model, device=DEVICE, tile_pixels_max=55 * 55)) as engine:
        outputs = run_alongside(engine, clips, seed=5)
    model.to("cpu")
    for found, clip in zip(outputs, clips, strict=True):
        assert_levels_close(found, upscale_alone(model, clip))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_choice_of_a_format_runs_on_the_device(name):
    found = checkpoint.load(checkpoint.shipped()[name])
    maker = Maker(torch.device(DEVICE))
    runtime = maker.choose(found).runtime
    assert runtime.backend == "torch-cuda"
    assert runtime.precision in ("float32", "float16")
    check_runtime(maker.make(found, runtime), checkpoint.load(checkpoint.shipped()[name]).model)


def test_a_step_that_comes_again_is_recorded_and_gives_what_the_plain_one_gave():
    model = make_model("dis")
    backend = TorchBackend(model, device=DEVICE)
    random = np.random.default_rng(3)
    frames = random.integers(0, 256, (6, 32, 48, 3), dtype=np.uint8)
    states = [backend.start(frame, None) for frame in frames]
    stepped = [backend.step([Turn(state, frame)])[0] for state, frame in zip(states, frames, strict=True)]
    assert backend.replayer.pixels == 32 * 48
    backend.replayer.forget()
    plain = [
        backend.step([Turn(state, frame)])[0] for state, frame in zip(states[3:5], frames[3:5], strict=True)
    ]
    assert backend.replayer.pixels == 0
    assert_levels_close([each.output for each in stepped[3:5]], np.stack([each.output for each in plain]))


@pytest.mark.parametrize("name", NETWORKS)
def test_streams_leave_no_memory_on_the_device(name):
    """Guards against a state that a closed stream, or a row of a batch, keeps alive."""
    clips = [PanningClip(seed, length=6) for seed in range(4)]
    with Engine(TorchBackend(shipped(name), device=DEVICE)) as engine:
        run_alongside(engine, clips, seed=6)  # libraries take their workspaces
        before = settled_bytes(engine)
        run_alongside(engine, clips * 3, seed=7)
        assert settled_bytes(engine) <= before


def settled_bytes(engine: Engine) -> int:
    """Of the device's memory in use, once the engine has dropped every stream."""
    deadline = time.monotonic() + 10
    while engine.stream_count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.stream_count == 0
    engine.backend.replayer.forget()  # recordings are bounded by themselves: test_replaying.py
    gc.collect()
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()
