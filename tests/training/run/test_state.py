"""A state on disk is always one whole state, small enough to travel."""

from pathlib import Path

import pytest
import torch

from model_core.model import build
from tests.training.made import config_of
from training.config import TrainingConfig
from training.presets import PRESETS
from training.run import state
from training.run.optimisers import make_optimisers, set_rate
from training.run.state import (
    Learner,
    Progress,
    StateError,
    load_ema,
    load_state,
    read_config,
    read_progress,
    save_state,
)

SMALL = config_of(features=4, blocks=1)


def make(config: TrainingConfig, seed: int = 0) -> Learner:
    """A learner after a step with made-up gradients."""
    torch.manual_seed(seed)
    model = build(config.model)
    optimisers = make_optimisers(model, config.schedule.optimiser)
    set_rate(optimisers, 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    for optimiser in optimisers.values():
        optimiser.step()
    return Learner(
        model, optimisers, {name: value.detach() * 2 for name, value in model.state_dict().items()}
    )


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_state_comes_back_whole(optimiser: str, tmp_path: Path) -> None:
    config = SMALL.override({"optimiser": optimiser})
    learner, other = make(config, 1), make(config, 2)
    learner.progress = Progress(5, 2.5, 1000, 3.5, 2, 0.5)
    save_state(tmp_path, config, learner)
    load_state(tmp_path, other)
    assert read_config(tmp_path) == config
    assert other.progress == learner.progress == read_progress(tmp_path)
    for name, value in learner.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value)
        assert torch.equal(other.ema[name], learner.ema[name])
        assert torch.equal(load_ema(tmp_path)[name], learner.ema[name])
    kept = 0
    for a, b in zip(learner.model.parameters(), other.model.parameters(), strict=True):
        for name, optimiser_of_one in learner.optimisers.items():
            of_one, of_other = (
                each.get(p, {})
                for each, p in ((optimiser_of_one.state, a), (other.optimisers[name].state, b))
            )
            assert of_one.keys() == of_other.keys()
            for key, value in of_one.items():
                assert torch.equal(value, of_other[key])
                assert value.stride() == of_other[key].stride()
                kept += value.ndim > 0
    assert kept == (len(list(other.model.parameters())) * 2 if optimiser == "adam" else 4 + 2 * 4)


def test_state_for_the_road_is_lighter_and_goes_on_from_the_same_weights(tmp_path: Path) -> None:
    config = SMALL.override({"optimiser": "muon"})
    learner, other = make(config, 1), make(config, 2)
    save_state(tmp_path / "whole", config, learner)
    save_state(tmp_path / "light", config, learner, light=True)
    whole, light = (
        sum(file.stat().st_size for file in (tmp_path / name).iterdir()) for name in ("whole", "light")
    )
    assert light < 0.65 * whole
    load_state(tmp_path / "light", other)
    for name, value in learner.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value)
        assert torch.equal(other.ema[name], value)
    for a, b in zip(learner.model.parameters(), other.model.parameters(), strict=True):
        if a.ndim > 1:
            found = other.optimisers["muon"].state[b]["momentum"]
            torch.testing.assert_close(
                found, learner.optimisers["muon"].state[a]["momentum"], rtol=4e-3, atol=0
            )


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_kill_between_pieces_leaves_the_old_state_whole(
    writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make(SMALL)
    monkeypatch.setattr(state, "PIECE_BYTES_MAX", 5 * learner.model.generator.conv_in.weight.nbytes)
    learner.progress.step = 1
    save_state(tmp_path, SMALL, learner)
    pieces = len(list(tmp_path.iterdir())) - 1
    assert pieces > 2
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    write, left = state._write, [writes]

    def killed(path: Path, content: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(path, content)

    with torch.no_grad():
        for parameter in learner.model.parameters():
            parameter.add_(1)
    learner.progress.step = 2
    with monkeypatch.context() as patch:
        patch.setattr(state, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            save_state(tmp_path, SMALL, learner)
    other = make(SMALL, 3)
    load_state(tmp_path, other)
    assert other.progress.step == 1
    assert all(torch.equal(other.model.state_dict()[name], value) for name, value in before.items())
    save_state(tmp_path, SMALL, learner)
    assert len(list(tmp_path.iterdir())) == pieces + 1, "leftovers are cleared"


def test_altered_piece_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path, SMALL, make(SMALL))
    piece = next(tmp_path.glob("*.safetensors"))
    content = bytearray(piece.read_bytes())
    content[-1] ^= 1
    piece.write_bytes(content)
    with pytest.raises(StateError, match="altered"):
        load_state(tmp_path, make(SMALL))


def test_state_of_another_model_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path, SMALL, make(SMALL))
    with pytest.raises(StateError, match="another model"):
        load_state(tmp_path, make(SMALL.override({"features": 8})))


@pytest.mark.parametrize("preset", ["frvsr_paper", "srgan"])
def test_published_recipe_fits_into_five_files_of_15_mib(preset: str, tmp_path: Path) -> None:
    config = PRESETS[preset]
    save_state(tmp_path, config, make(config))
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) <= 5
    assert max(sizes) <= 15 * 2**20


def test_state_of_a_larger_network_takes_more_files_and_comes_back_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "PIECE_BYTES_MAX", 2000)
    learner, other = make(SMALL, 1), make(SMALL, 2)
    save_state(tmp_path, SMALL, learner)
    assert len(list(tmp_path.iterdir())) > 5
    load_state(tmp_path, other)
    for name, value in learner.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value)
