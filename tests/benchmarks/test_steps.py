"""The measurement of one frame: rounds, ratios, and what no load of the machine changes."""

import itertools
import json
import time
from collections.abc import Sequence

import pytest

from benchmarks import steps
from benchmarks.contenders import Contender, contenders
from benchmarks.loops import COMMON
from benchmarks.peak import operations_a_pixel
from benchmarks.shared.rounds import in_rounds, median_ratio
from benchmarks.shared.texture import moving
from model_core.config import ModelConfig
from model_core.dis import DisFlow
from worker.engine.backends.precision import native


@pytest.fixture(scope="module")
def taking_part() -> Sequence[Contender]:
    return list(contenders())


def test_each_round_runs_every_case_once():
    ran: list[str] = []
    found = in_rounds({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, rounds_min=3)
    assert ran == ["a", "b"] * 3
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}


def test_rounds_go_on_while_another_fits_into_the_time():
    found = in_rounds({"a": lambda: time.sleep(0.01)}, rounds_min=1, seconds=0.5)
    assert 2 <= len(found["a"]) <= 50


def test_a_ratio_is_the_median_of_those_within_a_round():
    assert median_ratio([2.0, 40.0, 3.0], [1.0, 10.0, 3.0]) == 2


def test_operations_are_counted_by_hand():
    one = ModelConfig(generator="compact", flow="none", features=8, blocks=1)
    assert operations_a_pixel(one) == 2 * 9 * (3 * 8 + 8 * 8 + 8 * 48)


def test_every_format_of_this_processor_and_both_runtimes_take_part(taking_part: Sequence[Contender]):
    of_lite = {
        (each.runtime, each.precision) for each in taking_part if "frvsr-lite" in each.network.split(", ")
    }
    assert of_lite == {("openvino-cpu", each) for each in native("cpu")} | {("torch-cpu", "float32")}
    assert all(each.losses for each in taking_part if each.group == "ours" and each.precision == "int8")
    assert taking_part[0].config is COMMON


def test_models_that_ship_multiply_less_than_the_common_network(taking_part: Sequence[Contender]):
    for each in taking_part:
        if each.group == "ours":
            assert operations_a_pixel(each.config) < 0.85 * operations_a_pixel(COMMON), each.network


def test_a_frame_takes_less_processor_time_than_in_the_common_loop(taking_part: Sequence[Contender]):
    """Several times less; half is left to whatever a test machine is."""
    frames = list(moving(4, 96, 64))
    common = _processor_s(taking_part[0], frames)
    for each in taking_part:
        if each.group == "ours" and each.precision == native("cpu")[0]:
            assert _processor_s(each, frames) < common / 2, f"{each.network} by {each.runtime}"


def test_fast_motion_takes_a_fraction_of_the_processor_time_of_the_common_one():
    """A thirteenth, where this was measured (model_core/dis.py)."""
    before, frame = moving(2, 320, 180)
    took = {}
    for kind in ("dis", "dis-fast"):
        flow = DisFlow(kind)
        flow(before, frame)
        started = time.process_time()
        for _ in range(10):
            flow(before, frame)
        took[kind] = time.process_time() - started
    assert took["dis-fast"] < took["dis"] / 3


def test_the_figures_go_out_as_a_page_and_as_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    row = steps.Row("ours", "a, b", "openvino-cpu", "int8", 180, 144, 10.0, 1.0, 2.5, 0.5, (0.004, 0.003), 3)
    monkeypatch.setattr(steps, "measure", lambda _: steps.Steps([row], {"int8": 4e11}))
    steps.main(["--json"])
    assert json.loads(capsys.readouterr().out)["rows"][0]["ratio"] == 2.5
    steps.main(["--size", "180x144"])
    page = capsys.readouterr().out
    assert "| a, b | ours, OpenVINO | int8 | 10.0 | 1.00 | 2.50 | 50% | 0.0040 / 0.0030 |" in page
    assert "int8 400 thousand million" in page


def _processor_s(contender: Contender, frames: Sequence) -> float:
    loop = contender.loop(frames)
    next(loop)  # compiles
    started = time.process_time()
    for _ in itertools.islice(loop, 3):
        pass
    return time.process_time() - started
