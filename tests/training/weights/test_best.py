"""The best weights by what a training aims at, and only those, lie ready beside its state."""

from pathlib import Path

import pytest

from model_core import checkpoint
from model_core.model import Model, build
from tests.training.made import config_of
from training.config import TrainingConfig
from training.run.state import Progress
from training.weights.best import keep_if_best

FAITHFUL = config_of(features=4, blocks=1)
PERCEPTUAL = FAITHFUL.override({"vgg_weight": 0.1})


def model(seed_bias: float) -> Model:
    made = build(FAITHFUL.model).eval()
    made.load_state_dict({name: value + seed_bias for name, value in made.state_dict().items()})
    return made


@pytest.mark.parametrize(
    ("config", "told", "kept_steps"),
    [
        (FAITHFUL, [{"psnr": 25.0}, {"psnr": 26.0}, {"psnr": 25.5}], 2),
        (
            PERCEPTUAL,
            [{"psnr": 25.0, "lpips": 0.3}, {"psnr": 24.0, "lpips": 0.2}, {"psnr": 26.0, "lpips": 0.25}],
            2,
        ),
        (FAITHFUL, [{"psnr": 25.0}, {"psnr": 25.0}], 1),
    ],
    ids=["highest PSNR", "lowest LPIPS", "the earlier of equals"],
)
def test_best_is_kept(
    config: TrainingConfig, told: list[dict[str, float]], kept_steps: int, tmp_path: Path
) -> None:
    models = [model(index) for index in range(len(told))]
    for step, (each, scores) in enumerate(zip(models, told, strict=True), start=1):
        written = keep_if_best(tmp_path, each, config, Progress(step, 3600.0 * step), scores)
        assert written == (step <= kept_steps)
    found = checkpoint.load(tmp_path)
    best = models[kept_steps - 1].state_dict()
    assert all(value.equal(best[name]) for name, value in found.model.state_dict().items())
    assert found.card["steps"] == kept_steps
    assert found.card["held_out"] == told[kept_steps - 1]


def test_nothing_is_kept_without_the_score_that_counts(tmp_path: Path) -> None:
    assert not keep_if_best(tmp_path / "best", model(0), PERCEPTUAL, Progress(1, 1.0), {"psnr": 25.0})
    assert not (tmp_path / "best").exists()
