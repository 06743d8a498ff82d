"""Where a fresh run's weights come from, and what is refused."""

from pathlib import Path

import pytest
import torch

from model_core import checkpoint
from model_core.config import ModelConfig
from model_core.model import build
from training.weights.initial import InitError, find_initial, load_initial

CONFIG = ModelConfig(generator="frvsr", flow="dis", features=8, blocks=1)


def test_weights_to_begin_from_are_a_folder_or_a_shipped_name(tmp_path: Path) -> None:
    assert find_initial(str(tmp_path)) == tmp_path
    assert (find_initial("frvsr-lite") / "config.json").is_file()
    with pytest.raises(InitError, match=r"neither a folder nor one of .*frvsr-lite"):
        find_initial("frvsr-light")


def test_checkpoint_fills_the_whole_generator_and_leaves_f_as_it_is(tmp_path: Path) -> None:
    made = build(CONFIG)
    checkpoint.save(tmp_path, made, {})
    model = build(ModelConfig(generator="frvsr", flow="fnet", features=8, blocks=1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_initial(model, tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, made.state_dict().get(name, before[name]))
    assert any(name.startswith("flow_net.") for name in before)


@pytest.mark.parametrize(("key", "value"), [("features", 16), ("blocks", 2), ("head", "transposed")])
def test_checkpoint_of_another_shape_is_refused(key: str, value: object, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, build(CONFIG), {})
    values = {"generator": "frvsr", "flow": "dis", "features": 8, "blocks": 1, key: value}
    with pytest.raises(InitError, match="generator"):
        load_initial(build(ModelConfig(**values)), tmp_path)


def test_folder_that_holds_no_weights_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InitError, match=tmp_path.name):
        load_initial(build(CONFIG), tmp_path)
