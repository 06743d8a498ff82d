import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.config import ModelConfig

configs = st.builds(
    ModelConfig,
    generator=st.just("frvsr"),
    flow=st.sampled_from(["fnet", "pyramid", "dis"]),
    features=st.integers(1, 128),
    blocks=st.integers(1, 16),
    head=st.sampled_from(["subpixel", "transposed"]),
)


@given(configs)
def test_a_config_survives_json(config: ModelConfig) -> None:
    assert ModelConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"generator": "frvsr", "flow": "dis", "width": 64}', "width"),
        ('{"generator": "gan", "flow": "dis"}', "gan"),
        ('{"generator": "frvsr", "flow": "none"}', "none"),
        ('{"generator": "bicubic", "flow": "fnet"}', "fnet"),
        ('{"generator": "frvsr", "flow": "dis", "blocks": 0}', "0"),
        ('{"generator": "frvsr", "flow": "dis", "format_version": 7}', "7"),
        ('{"generator": "rrdb", "flow": "dis"}', "rrdb"),
        ('{"generator": "rrdb", "flow": "none", "growth": 0}', "growth"),
        ('{"generator": "compact", "flow": "none", "upsampling": "corner"}', "corner"),
        ('{"generator": "frvsr", "flow": "dis", "upsampling": "nearest"}', "nearest"),
        ('{"generator": "frvsr"}', "flow"),
        ("[]", "list"),
        ("{", "Expecting"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ModelConfig.from_json(text)


def test_fields_younger_than_the_format_are_written_only_where_they_say_something() -> None:
    """The version of a checkpoint is a digest of this text: weights that were there before keep theirs."""
    old = ModelConfig(generator="frvsr", flow="fnet", features=8, blocks=2)
    assert old.to_json() == (
        '{\n "blocks": 2,\n "features": 8,\n "flow": "fnet",\n "format_version": 1,\n'
        ' "generator": "frvsr",\n "head": "subpixel"\n}'
    )
    young = ModelConfig(generator="rrdb", flow="none", growth=16)
    assert '"growth": 16' in young.to_json()
    assert ModelConfig.from_json(young.to_json()) == young
    corner = ModelConfig(generator="frvsr", flow="fnet", upsampling="corner")
    assert ModelConfig.from_json(corner.to_json()) == corner
