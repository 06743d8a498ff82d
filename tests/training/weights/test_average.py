"""Averages of states are the stated mix, and nothing else is taken for a state."""

from pathlib import Path

import pytest
import torch

from model_core import checkpoint
from tests.training.made import config_of
from training.__main__ import main
from training.config import TrainingConfig
from training.run.state import load_ema, save_state
from training.run.train import begin
from training.weights.average import AverageError, average, parse_share
from training.weights.reading import read_weights

SMALL = config_of(features=4, blocks=1)
CPU = torch.device("cpu")


def state(folder: Path, step: int, config: TrainingConfig = SMALL) -> Path:
    learner = begin(config.override({"seed": step}), folder / "none", None, CPU)
    learner.progress.step, learner.progress.seconds = step, 36.0 * step
    save_state(folder, config, learner)
    return folder


def test_weights_are_mixed_by_their_shares_and_the_card_says_of_what(tmp_path: Path) -> None:
    early, late = state(tmp_path / "early", 100), state(tmp_path / "late", 300)
    version = average([(late, 0.75), (early, 0.25)], tmp_path / "out")
    found = checkpoint.load(tmp_path / "out", version=version)
    of_late, of_early = load_ema(late), load_ema(early)
    for name, value in found.model.state_dict().items():
        torch.testing.assert_close(value, 0.75 * of_late[name] + 0.25 * of_early[name])
    assert found.card["steps"] == 300
    assert found.card["hours"] == 3.0
    assert found.card["averaged"] == [{"step": 300, "share": 0.75}, {"step": 100, "share": 0.25}]


def test_shares_that_miss_one_and_other_models_are_refused(tmp_path: Path) -> None:
    one = state(tmp_path / "one", 1)
    with pytest.raises(AverageError, match="sum must be 1"):
        average([(one, 0.5), (one, 0.4)], tmp_path / "out")
    other = state(tmp_path / "other", 1, config_of(features=8, blocks=1))
    with pytest.raises(AverageError, match="2 different models"):
        average([(one, 0.5), (other, 0.5)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_share_is_read_from_the_last_equals_sign() -> None:
    assert parse_share("runs/rate=2/state=0.2") == (Path("runs/rate=2/state"), 0.2)
    with pytest.raises(AverageError, match="'runs/teco'"):
        parse_share("runs/teco")


def test_checkpoint_is_mixed_like_a_state_and_leaves_its_scores_behind(tmp_path: Path) -> None:
    early, late = state(tmp_path / "early", 100), state(tmp_path / "late", 300)
    model, card = read_weights(late)
    checkpoint.save(
        tmp_path / "published", model, card | {"name": "late", "scores": {"vid4_bd": {"psnr": 30}}}
    )
    version = average([(early, 0.5), (late, 0.5)], tmp_path / "of states")
    assert average([(early, 0.5), (tmp_path / "published", 0.5)], tmp_path / "of both") == version
    assert checkpoint.load(tmp_path / "of both").card == checkpoint.load(tmp_path / "of states").card


def test_folder_without_weights_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["average", "--of", f"{tmp_path}=1", "--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path) in capsys.readouterr().err
