"""A state on disk is always one whole state, small enough to travel."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import Adam

from training import state
from training.config import TrainingConfig
from training.state import Progress, StateError, has_state, load_ema, load_state, read_config, save_state


def make(seed: int, width: int = 8) -> tuple[nn.Module, dict[str, torch.Tensor], Adam]:
    torch.manual_seed(seed)
    model = nn.Conv2d(3, width, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    adam = Adam(model.parameters(), lr=0.1, fused=True)
    model(torch.rand(1, 3, 8, 8)).sum().backward()
    adam.step()
    return model, {name: value.detach() * 2 for name, value in model.state_dict().items()}, adam


def test_state_comes_back_whole(tmp_path: Path) -> None:
    model, ema, adam = make(1)
    save_state(tmp_path, TrainingConfig(seed=9), Progress(5, 2.5), model, ema, adam)
    other, other_ema, other_adam = make(2)
    progress = load_state(tmp_path, other, other_ema, other_adam)
    assert (progress.step, progress.seconds) == (5, 2.5)
    assert read_config(tmp_path).seed == 9
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(other_ema["bias"], ema["bias"])
    assert torch.equal(load_ema(tmp_path)["weight"], ema["weight"])
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        for key in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(adam.state[a][key], other_adam.state[b][key])
        assert other_adam.state[b]["exp_avg"].stride() == adam.state[a]["exp_avg"].stride()


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_kill_between_pieces_leaves_the_old_state_whole(
    writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "PIECE_BYTES_MAX", 1500)  # a few pieces
    model, ema, adam = make(1)
    save_state(tmp_path, TrainingConfig(), Progress(1, 1.0), model, ema, adam)
    before = model.state_dict()["weight"].clone()
    write, left = state._write, [writes]

    def killed(path: Path, content: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(path, content)

    with torch.no_grad():
        model.weight.add_(1)
    with monkeypatch.context() as patch:
        patch.setattr(state, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            save_state(tmp_path, TrainingConfig(), Progress(2, 2.0), model, ema, adam)
    other, other_ema, other_adam = make(3)
    assert load_state(tmp_path, other, other_ema, other_adam).step == 1
    assert torch.equal(other.state_dict()["weight"], before)
    save_state(tmp_path, TrainingConfig(), Progress(3, 3.0), model, ema, adam)
    assert len(list(tmp_path.iterdir())) == len(state._manifest(tmp_path)["pieces"]) + 1, "leftovers are cleared"


def test_altered_piece_is_refused(tmp_path: Path) -> None:
    model, ema, adam = make(1)
    save_state(tmp_path, TrainingConfig(), Progress(), model, ema, adam)
    piece = next(tmp_path.glob("*.safetensors"))
    content = bytearray(piece.read_bytes())
    content[-1] ^= 1
    piece.write_bytes(content)
    with pytest.raises(StateError, match="altered"):
        load_state(tmp_path, *make(1))


def test_state_of_another_model_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path, TrainingConfig(), Progress(), *make(1, width=8))
    with pytest.raises(StateError, match="another model"):
        load_state(tmp_path, *make(1, width=16))


def test_published_recipe_fits_into_five_files_of_15_mib(tmp_path: Path) -> None:
    from model_core.model import build
    from training.config import PRESETS

    config = PRESETS["frvsr_paper"]
    model = build(config.model_config())
    adam = Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    adam.step()
    save_state(tmp_path, config, Progress(), model, dict(model.state_dict()), adam)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) <= 5
    assert max(sizes) <= 15 * 2**20


def test_state_that_cannot_travel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "PIECE_BYTES_MAX", 100)
    with pytest.raises(StateError, match="may travel"):
        save_state(tmp_path, TrainingConfig(), Progress(), *make(1))
    assert not has_state(tmp_path)
