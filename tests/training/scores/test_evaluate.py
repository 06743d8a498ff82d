"""The evaluation of whole clips and images, on material that is made here."""

import json
import math
from pathlib import Path

import cv2
import pytest
import torch

from model_core.config import ModelConfig
from model_core.model import build
from tests.training.made import config_of, panning, textured, write_video
from training.__main__ import main
from training.data.sequences import make_sequence
from training.data.sources import Library
from training.run.train import Limits, train
from training.scores.evaluate import EvaluationError, Scores, load_model, mean, run, score


def test_truth_scores_perfectly_against_itself() -> None:
    frames = panning(7, 96, 96, 0)
    assert score(frames, frames, None) == Scores(math.inf, 1.0, None, 0.0, None)


def test_first_and_last_two_frames_do_not_count() -> None:
    truth = panning(7, 96, 96, 0)
    spoilt = truth.copy()
    spoilt[[0, 1, 5, 6]] = 0
    assert score(truth, spoilt, None).psnr == math.inf
    spoilt[2:5] = 0
    assert score(truth, spoilt, None).psnr < 10


def test_bicubic_model_is_bicubic_interpolation() -> None:
    sequence = make_sequence("clip", panning(2, 64, 64, 0), "bd")
    model = build(ModelConfig(generator="bicubic", flow="none"))
    low = torch.from_numpy(sequence.low[1]).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(low, scale_factor=4, mode="bicubic").clamp(0, 255)[0]
    found = torch.from_numpy(run(model, sequence)[1]).permute(2, 0, 1)
    assert (found - expected).abs().max() <= 0.51


def test_command_writes_scores_table_and_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "clips"
    data.mkdir()
    write_video(data / "one.mkv", panning(6, 96, 96, 0))
    out = tmp_path / "scores.json"
    assert (
        main(["evaluate", "--data", str(data), "--model", "bicubic", "--no-lpips", "--json", str(out)]) == 0
    )
    assert "| bicubic |" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report["clips"]["one"]["psnr"] == pytest.approx(report["mean"]["psnr"])
    assert report["protocol"] == "bd"
    sheet = cv2.imread(str(tmp_path / "scores.png"))
    assert sheet is not None
    assert sheet.std() > 10


@pytest.mark.parametrize("protocol", ["bd-x264", "decimated", "bd-noise10"])
def test_blind_protocols_score_bicubic_beside_the_model(
    protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Published figures are for bd alone, though the clips be those of Vid4."""
    data = tmp_path / "clips"
    data.mkdir()
    for name in ("calendar", "city", "foliage", "walk"):
        write_video(data / f"{name}.mkv", panning(6, 96, 96, 0))
    arguments = ["--data", str(data), "--model", "bicubic", "--protocol", protocol, "--no-lpips"]
    assert main(["evaluate", *arguments, "--json", str(tmp_path / "scores.json")]) == 0
    table = capsys.readouterr().out
    assert "bicubic" in table
    assert "DUF" not in table
    assert json.loads((tmp_path / "scores.json").read_text())["protocol"] == protocol


def test_images_are_scored_without_motion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), textured(66, 70, 0))
    arguments = ["--data", str(tmp_path), "--model", "bicubic", "--protocol", "bi", "--no-lpips"]
    assert main(["evaluate", *arguments]) == 0
    assert "picture" in capsys.readouterr().out


def test_absent_lpips_weights_are_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), textured(64, 64, 0))
    arguments = ["--data", str(tmp_path), "--weights", str(tmp_path), "--model", "bicubic"]
    assert main(["evaluate", *arguments]) == 2
    assert "--weights" in capsys.readouterr().err


def test_training_is_evaluated_by_its_averaged_weights(tmp_path: Path) -> None:
    config = config_of(features=4, blocks=1, batch=1, frames=2, crop=16, iterations=1, precision="fp32")
    train(config, Library((), (), (textured(96, 96, 0),)), tmp_path / "run", Limits())
    model, name = load_model(str(tmp_path / "run"))
    assert name == "run"
    assert model.config.features == 4
    assert not model.training


def test_unknown_model_and_empty_data_are_errors(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="neither"):
        load_model("no-such-model")
    assert main(["evaluate", "--data", str(tmp_path), "--model", "bicubic", "--no-lpips"]) == 2


def test_mean_leaves_out_what_does_not_apply() -> None:
    found = mean([Scores(20.0, 0.5, 0.25), Scores(30.0, 0.7, None)])
    assert found == Scores(25.0, pytest.approx(0.6), 0.25, None, None)
