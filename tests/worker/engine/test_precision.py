import pytest
import torch

from worker.engine.backends import precision
from worker.engine.backends.precision import choose, native

FORMATS = ("int8", "bfloat16", "float32")


def test_the_first_format_that_costs_little_is_chosen():
    chosen, reason = choose({"precision_loss_db": {"int8": 0.049, "bfloat16": 0.001}}, FORMATS)
    assert (chosen, reason) == ("int8", "native here, costs 0.049 dB")


def test_a_format_that_costs_much_is_passed_over_and_the_reason_says_so():
    chosen, reason = choose({"precision_loss_db": {"int8": 0.05, "bfloat16": 0.001}}, FORMATS)
    assert (chosen, reason) == ("bfloat16", "int8 costs 0.050 dB; native here, costs 0.001 dB")


def test_a_format_that_was_never_measured_is_not_chosen():
    chosen, reason = choose({}, FORMATS)
    assert chosen == "float32"
    assert reason == "what int8 costs was not measured; what bfloat16 costs was not measured"


def test_float16_is_judged_by_the_coarser_format():
    assert choose({"precision_loss_db": {"bfloat16": 0.01}}, native("cuda"))[0] == "float16"
    assert choose({"precision_loss_db": {"bfloat16": 0.06}}, native("cuda"))[0] == "float32"


@pytest.mark.parametrize(
    ("units", "formats"),
    [
        ({}, ("float32",)),
        ({"avx512_vnni": True}, ("int8", "float32")),
        ({"avx_vnni": True}, ("int8", "float32")),
        ({"avx512_vnni": True, "avx512_bf16": True}, ("int8", "bfloat16", "float32")),
        (
            {"avx512_vnni": True, "avx512_bf16": True, "amx_bf16": True, "amx_int8": True},
            ("bfloat16", "int8", "float32"),
        ),
    ],
)
def test_formats_follow_the_units_of_the_processor(monkeypatch, units, formats):
    monkeypatch.setattr(precision.torch.cpu, "get_capabilities", lambda: units)
    assert native("cpu") == formats


def test_this_processor_tells_of_its_units():
    """Names that PyTorch changed would leave every machine at float32, and no other test would notice."""
    names = torch.cpu.get_capabilities()
    if names["architecture"] == "x86_64":
        assert {"avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8", "avx512_bf16"} <= set(names)
