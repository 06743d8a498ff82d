"""Int8 by OpenVINO: what PyTorch's simulation says it is, alike in any company and in any process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_core.quantised import measured_ranges, quantised
from tests.worker.engine.alongside import run_alongside
from tests.worker.engine.judge import PanningClip, make_model, upscale_alone
from worker.engine.backends.openvino import OpenVinoBackend
from worker.engine.backends.precision import native
from worker.engine.engine import Engine

pytestmark = pytest.mark.skipif("int8" not in native("cpu"), reason="no int8 units")

CLIP = PanningClip(1, length=12)


def backend(**options) -> OpenVinoBackend:
    return OpenVinoBackend(simulated(), precision="int8", **options)


def simulated():
    model = make_model("dis-fast", window=3, hidden=4)
    return quantised(
        model, measured_ranges(model, lambda each: upscale_alone(each, PanningClip(2, length=4)))
    )


def run(**options) -> np.ndarray:
    with Engine(backend(**options)) as engine:
        return np.stack(run_alongside(engine, [CLIP], seed=1)[0])


def test_its_pictures_are_those_of_the_simulation():
    """The first ones: then sums in another order make roundings fall otherwise, and that goes on."""
    found = run().astype(int)
    apart = np.abs(found - upscale_alone(simulated(), CLIP)).mean((1, 2, 3))
    rounding = np.abs(found - upscale_alone(make_model("dis-fast", window=3, hidden=4), CLIP)).mean((1, 2, 3))
    assert apart[0] < 0.01 * rounding[0]
    assert apart[1] < 0.2 * rounding[1]


def test_its_pictures_are_equal_in_company_in_tiles_and_alone():
    alone = run()
    others = [PanningClip(seed, length=9) for seed in (3, 4)]
    with Engine(backend(), batch_max=3) as engine:
        outputs, *_ = run_alongside(engine, [CLIP, *others], seed=2)
    assert np.array_equal(np.stack(outputs), alone)
    assert np.abs(run(tile_pixels_max=40 * 40).astype(int) - alone).max() <= 1


def test_its_pictures_are_equal_in_two_processes():
    script = (
        "import sys; from tests.worker.engine.test_int8 import run; sys.stdout.buffer.write(run().tobytes())"
    )
    made = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, check=True
    )
    assert made.stdout == run().tobytes()


def test_its_convolutions_multiply_bytes():
    """Ranges that OpenVINO does not see through would leave a model in float32, all other tests green."""
    compiled = next(iter(graph_requests()))
    kinds = [
        node.get_rt_info()["primitiveType"].astype(str)
        for node in compiled.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert kinds
    assert all(kind.endswith(("_I8", "_i8", "_u8", "_U8")) for kind in kinds)


def graph_requests():
    runs = backend()
    with Engine(runs) as engine:
        run_alongside(engine, [PanningClip(5, length=2)], seed=1)
    return [request.get_compiled_model() for request in runs._graph._requests.values()]
