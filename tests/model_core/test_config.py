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
        ('{"generator": "frvsr"}', "flow"),
        ("[]", "list"),
        ("{", "Expecting"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ModelConfig.from_json(text)
