"""Which runtime a model gets, and the gate that a runtime passes."""

import pytest
import torch

from model_core import checkpoint
from model_core.checkpoint import Checkpoint
from model_core.config import ModelConfig
from model_core.model import build
from model_core.quantised import measured_ranges
from service.errors import InvalidOption
from tests.worker.engine.judge import Clip, make_model, make_picture_model, upscale_alone
from worker.engine.backends import making
from worker.engine.backends.making import Maker, Runtime

CARD = {"precision_loss_db": {"int8": 0.01, "bfloat16": 0.001}}


def found(model, *, card=CARD, quantised: bool = False) -> Checkpoint:
    ranges = measured_ranges(model, lambda each: upscale_alone(each, Clip(1, length=3))) if quantised else {}
    return Checkpoint("0123", model, card, ranges)


@pytest.fixture
def maker() -> Maker:
    return Maker(torch.device("cpu"))


@pytest.fixture(autouse=True)
def all_units(monkeypatch):
    monkeypatch.setattr(making, "native", lambda device: ("int8", "bfloat16", "float32"))


def test_a_quantised_version_runs_in_int8(maker):
    choice = maker.choose(found(make_model("dis"), quantised=True))
    assert choice.runtime == Runtime("openvino-cpu", "int8")


def test_int8_is_passed_over_for_a_version_without_ranges(maker):
    assert maker.choose(found(make_model("dis"))).runtime == Runtime("openvino-cpu", "bfloat16")
    with pytest.raises(ValueError, match="version 0123 was not made for int8"):
        maker.make(found(make_model("dis")), Runtime("openvino-cpu", "int8"))


@pytest.mark.parametrize(
    ("model", "backend"),
    [
        (make_model("dis", upsampling="corner"), "torch-cpu"),
        (make_model("fnet"), "torch-cpu"),
        (build(ModelConfig(generator="bicubic", flow="none")).eval(), "torch-cpu"),
        (make_picture_model("rrdb", blocks=1), "openvino-cpu"),
        (make_model("dis-fast", window=3, hidden=4), "openvino-cpu"),
    ],
)
def test_pytorch_runs_what_openvino_does_not(maker, model, backend):
    runtime = maker.runtime(model.config, "float32")
    assert runtime == Runtime(backend, "float32")
    assert maker.make(found(model), runtime).name == backend


def test_without_openvino_pytorch_serves_all_and_nothing_in_int8(maker, monkeypatch):
    monkeypatch.setattr(making, "_has_openvino", lambda: False)
    assert maker.choose(found(make_model("dis"), quantised=True)).runtime == Runtime("torch-cpu", "bfloat16")
    assert Runtime("openvino-cpu", "float32") not in maker.runtimes()


def test_a_format_that_is_not_native_is_not_honoured_by_openvino(maker, monkeypatch):
    """It would compute in another one, without a word."""
    monkeypatch.setattr(making, "native", lambda device: ("float32",))
    assert Runtime("openvino-cpu", "float32") in maker.runtimes()
    assert Runtime("openvino-cpu", "int8") not in maker.runtimes()
    assert Runtime("torch-cpu", "bfloat16") in maker.runtimes()


def test_every_model_that_ships_runs_by_openvino():
    for name, folder in checkpoint.shipped().items():
        if name != "bicubic":
            config = checkpoint.load(folder).config
            assert Maker(torch.device("cpu")).runtime(config, "int8").backend == "openvino-cpu"


def test_a_precision_that_a_device_has_not_is_refused_by_name(maker, monkeypatch):
    for precision in ("float32", "bfloat16", "int8"):
        maker.check(precision)
    with pytest.raises(InvalidOption, match="precision is float16, and on this cpu it can be float32, "):
        maker.check("float16")
    monkeypatch.setattr(making, "native", lambda device: ("float32",))
    with pytest.raises(InvalidOption, match="precision is int8"):
        maker.check("int8")
