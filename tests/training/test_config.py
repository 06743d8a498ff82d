"""Presets, overrides and what they refuse."""

import json
from pathlib import Path

import pytest

from training.__main__ import main
from training.config import ConfigError, TrainingConfig, parse_overrides
from training.presets import PRESETS


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
    assert (by_time.iterations, by_time.seconds) == (0, 60.0)
    assert by_time.override({"iterations": 5}).seconds == 0
    with pytest.raises(ConfigError, match="exactly one"):
        TrainingConfig(iterations=5, seconds=5.0)


def test_config_survives_its_json() -> None:
    for config in PRESETS.values():
        assert TrainingConfig.from_json(config.to_json()) == config


def test_config_of_a_former_version_loads_without_what_was_withdrawn() -> None:
    former = json.loads(TrainingConfig(crop=44).to_json()) | {"late_from": 1.0, "late_crop": 32}
    assert TrainingConfig.from_json(json.dumps(former)) == TrainingConfig(crop=44)
    with pytest.raises(ConfigError, match="late_crop"):
        TrainingConfig().override({"late_crop": 44})


def test_back_projection_needs_a_known_degradation() -> None:
    with pytest.raises(ConfigError, match="known degradation"):
        TrainingConfig(protocol="bsrgan", back_projection_weight=1.0)
