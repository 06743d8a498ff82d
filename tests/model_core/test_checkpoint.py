from pathlib import Path

import pytest
import torch

from model_core.checkpoint import FILES, CheckpointError, load, save, shipped
from model_core.config import ModelConfig
from model_core.model import Model, build


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return build(ModelConfig(generator="frvsr", flow="pyramid", features=8, blocks=1))


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path, model: Model) -> None:
    version = save(tmp_path, model, {"name": "x"})
    found = load(tmp_path, version=version)
    assert (found.version, found.config, found.card) == (version, model.config, {"name": "x"})
    for name, value in model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], value)


def test_equal_content_has_an_equal_version_and_the_card_does_not_count(tmp_path: Path, model: Model) -> None:
    first = save(tmp_path / "a", model, {"note": "one"})
    assert save(tmp_path / "b", model, {"note": "two"}) == first
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert save(tmp_path / "c", model, {}) != first


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, model: Model, name: str) -> None:
    save(tmp_path, model, {})
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load(tmp_path)


def test_altered_weights_are_refused(tmp_path: Path, model: Model) -> None:
    version = save(tmp_path, model, {})
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match=version):
        load(tmp_path, version=version)


def test_weights_of_another_config_are_refused(tmp_path: Path, model: Model) -> None:
    save(tmp_path, model, {})
    other = ModelConfig(generator="frvsr", flow="pyramid", features=16, blocks=1)
    (tmp_path / "config.json").write_text(other.to_json())
    with pytest.raises(CheckpointError, match="size mismatch"):
        load(tmp_path)


def test_truncated_weights_are_refused(tmp_path: Path, model: Model) -> None:
    save(tmp_path, model, {})
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        load(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, model: Model) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    save(tmp_path, model, {})
    with pytest.raises(CheckpointError, match="finite"):
        load(tmp_path)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_checkpoint_loads_and_is_small(name: str) -> None:
    folder = shipped()[name]
    assert load(folder).card["name"] == name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4_000_000


def test_the_baseline_is_always_there() -> None:
    assert "bicubic" in shipped()


def test_a_checkpoint_can_be_read_by_other_users(tmp_path: Path, model: Model) -> None:
    save(tmp_path, model, {})
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in FILES} == {0o644}
