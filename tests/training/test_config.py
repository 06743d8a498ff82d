"""Presets, overrides and what they refuse."""

import json
from pathlib import Path

import pytest

from model_core.checkpoint import shipped
from tests.training.made import config_of
from training.__main__ import main
from training.config import ConfigError, TrainingConfig, parse_overrides
from training.presets import PRESETS
from training.run.carry import CARRIED

FLAT = TrainingConfig().to_dict()


def test_unknown_key_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="--learning-rat'"):
        parse_overrides(["--learning-rat", "1e-3"])
    with pytest.raises(ConfigError, match="bathc"):
        TrainingConfig().override({"bathc": 2})


def test_command_refuses_an_unknown_key_before_it_reads_any_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(tmp_path / "absent"), "--out", str(tmp_path), "--learning-rat", "1e-3"]
    assert main(["train", *arguments]) == 2
    assert "--learning-rat'" in capsys.readouterr().err


def test_value_of_the_wrong_type_or_missing_is_an_error() -> None:
    with pytest.raises(ConfigError, match="four"):
        parse_overrides(["--batch", "four"])
    with pytest.raises(ConfigError, match="no value"):
        parse_overrides(["--batch"])


def test_overrides_are_read_with_the_type_of_their_field() -> None:
    values = parse_overrides(["--learning-rate", "2e-4", "--warmup_iterations", "44", "--flow", "fnet"])
    assert values == {"learning_rate": 2e-4, "warmup_iterations": 44, "flow": "fnet"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("flow", "raft"), ("protocol", "bx"), ("precision", "fp8"), ("frames", 1), ("features", 0)],
)
def test_impossible_value_is_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError):
        TrainingConfig().override({key: value})


def test_naming_one_length_of_the_schedule_withdraws_the_other() -> None:
    by_time = TrainingConfig().override({"seconds": 60.0})
    assert (by_time.schedule.iterations, by_time.schedule.seconds) == (0, 60.0)
    assert by_time.override({"iterations": 5}).schedule.seconds == 0
    with pytest.raises(ConfigError, match="exactly one"):
        config_of(iterations=5, seconds=5.0)


def test_config_survives_its_json() -> None:
    for config in PRESETS.values():
        assert TrainingConfig.from_json(config.to_json()) == config


def test_config_of_a_former_version_loads_without_what_was_withdrawn() -> None:
    former = json.loads(config_of(crop=44).to_json()) | {"late_from": 1.0, "late_crop": 32}
    assert TrainingConfig.from_json(json.dumps(former)) == config_of(crop=44)
    with pytest.raises(ConfigError, match="late_corp"):
        TrainingConfig.from_dict({"late_corp": 32})
    with pytest.raises(ConfigError, match="late_crop"):
        TrainingConfig().override({"late_crop": 44})


def test_back_projection_needs_a_known_degradation() -> None:
    with pytest.raises(ConfigError, match="known degradation"):
        config_of(protocol="bsrgan", back_projection_weight=1.0)


def test_config_is_flat_wherever_it_is_written_as_the_carried_trunk_has_it() -> None:
    """Since before it was five records: a state, a card and a command line name each value by one key."""
    written = json.loads((CARRIED / "trunk" / "state" / "state.json").read_text())["config"]
    config = TrainingConfig.from_dict(written)
    assert {name: config.to_dict()[name] for name in written} == written  # later keys have their defaults
    assert (config.model.window, config.data.batch, config.losses.luma_share) == (3, 16, 0.6)
    assert (config.critic.lead_max, config.schedule.optimiser, config.validate_every) == (0.4, "muon", 250)
    assert config == PRESETS["trunk"].override({"precision": "bf16"})


def test_shipped_cards_tell_a_training_that_still_reads() -> None:
    for name in ("frvsr-lite", "teco-lite", "real-lite"):
        told = json.loads((shipped()[name] / "card.json").read_text())["training"]
        config = TrainingConfig.from_dict(told)
        assert all(told[key] == value for key, value in config.to_dict().items() if key in told)


def test_overrides_reach_each_record_and_leave_the_others() -> None:
    values = {"seed": 2, "features": 8, "crop": 44, "vgg_weight": 0.1, "critic_pace": 2.0, "clip_norm": 1.0}
    config = TrainingConfig().override(values)
    assert {key: value for key, value in config.to_dict().items() if value != FLAT[key]} == values
