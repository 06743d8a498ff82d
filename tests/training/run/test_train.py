"""The loop: it learns, it goes on exactly where it was cut off, and it stops before it spoils its state."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model_core.model import build
from tests.training.made import config_of, random_heads, random_vgg
from training.data.sources import Library, load_library
from training.losses.perceptual import VGG16
from training.presets import PRESETS
from training.run.carry import carry, take_up
from training.run.schedule import Schedule
from training.run.state import Progress, has_state, load_ema
from training.run.step import TrainingDivergedError, update_average
from training.run.train import Limits, train
from training.weights.reading import read_weights

TINY = config_of(
    features=8, blocks=1, batch=2, frames=3, crop=16,
    iterations=6, warmup_iterations=2, precision="fp32", learning_rate=1e-3, photo_share=0.5,
    validate_every=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def library(material: Path) -> Library:
    return load_library(material)


def losses(out: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(scope="module")
def perceptual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of VGG16's shapes: what they see is nonsense, but it is theirs."""
    folder = tmp_path_factory.mktemp("perceptual")
    save_file(random_vgg(), folder / VGG16.features_file)
    save_file(random_heads(), folder / VGG16.heads_file)
    return folder


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_preset_trains(preset: str, library: Library, perceptual: Path, tmp_path: Path) -> None:
    small = {
        "features": 8,
        "blocks": 1,
        "batch": 2,
        "frames": 2 if PRESETS[preset].task == "flow" else min(3, PRESETS[preset].data.frames),
        "crop": 16,
        "iterations": 2,
        "critic_start": 0,
        "precision": "fp32",
    }
    config = PRESETS[preset].override(small)
    before = build(config.model).state_dict()
    progress = train(config, library, tmp_path, Limits(), perceptual=perceptual)
    assert progress.step == 2
    assert (tmp_path / "curves.png").is_file()
    after = load_ema(tmp_path / "state")
    assert any(not torch.equal(after[name], before[name]) for name in before)


def assert_same_training(cut: Path, one: Path) -> None:
    """Losses and averaged weights of two runs agree to 1e-5."""
    assert losses(cut) == pytest.approx(losses(one), rel=1e-5)
    of_one, of_cut = load_ema(one / "state"), load_ema(cut / "state")
    for name, value in of_one.items():
        torch.testing.assert_close(of_cut[name], value, rtol=1e-5, atol=1e-7)


def test_training_lowers_the_loss(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.run.journal.NOTE_EVERY", 1)
    config = TINY.override({"iterations": 40, "learning_rate": 3e-3, "validate_every": 100})
    train(config, library, tmp_path, Limits())
    found = losses(tmp_path)
    assert sum(found[i] for i in range(31, 41)) < 0.9 * sum(found[i] for i in range(1, 11))


def test_three_budgets_equal_one_run(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run.journal.NOTE_EVERY", 1)
    train(TINY, library, tmp_path / "one", Limits())
    for _ in range(3):
        progress = train(TINY, library, tmp_path / "cut", Limits(steps=2))
    assert progress.step == 6
    assert_same_training(tmp_path / "cut", tmp_path / "one")
    cards = [read_weights(tmp_path / name / "best")[1] for name in ("one", "cut")]
    assert cards[0]["steps"] == cards[1]["steps"] in (3, 6)


SMALL_TRUNK = {
    "features": 8, "blocks": 1, "batch": 2, "frames": 2, "crop": 16, "precision": "fp32",
    "validate_every": 99999,
}  # fmt: skip


def run_command(material: Path, out: Path, *extra: str) -> list[str]:
    arguments = [part for key, value in SMALL_TRUNK.items() for part in (f"--{key}", str(value))]
    return [
        sys.executable,
        "-m",
        "training",
        "train",
        "--data",
        str(material),
        "--out",
        str(out),
        *arguments,
        *extra,
    ]


def test_killed_run_goes_on_from_its_last_state(material: Path, tmp_path: Path) -> None:
    command = run_command(material, tmp_path, "--iterations", "100000")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, "--save-every", "0"], env=environment) as process:
        deadline = time.monotonic() + 60
        while not has_state(tmp_path / "state") and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    reached = json.loads((tmp_path / "state" / "state.json").read_text())["step"]
    assert reached > 0
    done = subprocess.run(
        [*command, "--stop-steps", "2"], env=environment, capture_output=True, text=True, check=True
    )
    assert f"step {reached + 2}," in done.stdout


def run_as_two_and_as_one(
    material: Path, library: Library, folder: Path, **keys: float
) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Three steps of a tiny trunk by two processes, and by one: each averaged weight of both, by name."""
    values = {"iterations": 3, **keys}
    extra = [part for key, value in values.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    command = run_command(material, folder / "two", *extra)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, *command[1:]], env=environment, capture_output=True, check=True)
    config = PRESETS["trunk"].override(SMALL_TRUNK | values)
    train(config, library, folder / "one", Limits())
    two, one = load_ema(folder / "two" / "state"), load_ema(folder / "one" / "state")
    return [(name, two[name], value) for name, value in one.items()]


def test_two_processes_equal_one_with_the_double_batch(
    material: Path, library: Library, tmp_path: Path
) -> None:
    for _, two, one in run_as_two_and_as_one(material, library, tmp_path):
        torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6)


def test_budgeted_run_ends_before_its_deadline_with_state_and_curves(
    library: Library, tmp_path: Path
) -> None:
    began = time.monotonic()
    config = TINY.override({"seconds": 3600.0})
    progress = train(config, library, tmp_path, Limits(ends_at=began + 8.0))
    assert time.monotonic() - began < 8.0
    assert 0 < progress.seconds < 8.0
    assert "psnr" not in (tmp_path / "log.jsonl").read_text(), "a validation may take longer than is left"
    assert has_state(tmp_path / "state")
    assert (tmp_path / "curves.png").is_file()


def test_diverged_run_stops_and_keeps_the_last_good_state(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(TINY, library, tmp_path, Limits(steps=2))
    monkeypatch.setattr(
        "training.losses.pixel.charbonnier", lambda high, target: (high - target).mean() * torch.nan
    )
    with pytest.raises(TrainingDivergedError, match="step 2"):
        train(TINY, library, tmp_path, Limits(save_every_s=0.0))
    assert all(value.isfinite().all() for value in load_ema(tmp_path / "state").values())


def test_rate_warms_up_and_falls_to_a_hundredth() -> None:
    config = config_of(iterations=1000, warmup_iterations=10, learning_rate=1.0)
    rates = [Schedule(config.schedule, Progress(step)).learning_rate() for step in (0, 9, 500, 1000)]
    assert rates == pytest.approx([0.1, 1.0, 0.505, 0.01], rel=1e-2)
    by_time = config_of(iterations=0, seconds=10.0, warmup_iterations=0, learning_rate=1.0)
    assert Schedule(by_time.schedule, Progress(77, 5.0)).learning_rate() == pytest.approx(0.505)


def test_constant_rate_has_no_end_and_a_branch_falls_to_nothing_from_where_it_began() -> None:
    trunk = config_of(rate_course="constant", iterations=0, warmup_iterations=10, learning_rate=1.0)
    assert [Schedule(trunk.schedule, Progress(step)).learning_rate() for step in (0, 10, 10**6)] == [
        0.1,
        1,
        1,
    ]
    assert not Schedule(trunk.schedule, Progress(10**9)).is_over()
    branch = trunk.override({"rate_course": "linear", "iterations": 100})
    progress = [Progress(step, branch_step=5000) for step in (5000, 5025, 5100)]
    assert [Schedule(branch.schedule, each).learning_rate() for each in progress] == [1, 0.75, 0]
    assert [Schedule(branch.schedule, each).is_over() for each in progress] == [False, False, True]


def test_branch_goes_on_from_another_training_with_its_momentum_and_its_own_schedule(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run.journal.NOTE_EVERY", 1)
    config = TINY.override({"optimiser": "muon", "rate_course": "constant", "iterations": 0})
    train(config, library, tmp_path / "one", Limits(steps=6))
    train(config, library, tmp_path / "trunk", Limits(steps=4))
    branch = config.override({"rate_course": "linear", "iterations": 2})
    progress = train(branch, library, tmp_path / "branch", Limits(), branch_of=tmp_path / "trunk" / "state")
    assert (progress.step, progress.branch_step) == (6, 4)
    assert progress.pixels == 6 * 2 * 3 * 16 * 16
    # The first step of the branch has the trunk's rate, momentum and data.
    assert losses(tmp_path / "branch")[5] == pytest.approx(losses(tmp_path / "one")[5], rel=1e-6)
    assert losses(tmp_path / "branch")[6] == pytest.approx(losses(tmp_path / "one")[6], rel=1e-4)


def test_carried_training_goes_on_elsewhere(library: Library, tmp_path: Path) -> None:
    config = TINY.override({"optimiser": "muon", "rate_course": "constant", "iterations": 0})
    train(config, library, tmp_path / "here", Limits(steps=3))
    carry(tmp_path / "here", tmp_path / "carried" / "trunk")
    carried = tmp_path / "carried"
    assert take_up("trunk", config, tmp_path / "there", carried=carried)
    assert not take_up("trunk", config, tmp_path / "there", carried=carried)
    assert not take_up("another", config, tmp_path / "nowhere", carried=carried)
    assert not take_up("trunk", config.override({"features": 9}), tmp_path / "nowhere", carried=carried)
    assert train(config, library, tmp_path / "there", Limits(steps=1)).step == 4
    lines = [json.loads(line) for line in (tmp_path / "there" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "psnr" in line] == [3]


def test_average_moves_by_one_minus_decay() -> None:
    model = build(TINY.model)
    ema = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    update_average(ema, model, 0.75)
    name = "generator.conv_in.weight"
    torch.testing.assert_close(ema[name], model.state_dict()[name] * 0.25)


def test_journal_tells_means_of_the_steps_since_its_last_line(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TINY.override({"iterations": 5, "validate_every": 100})
    monkeypatch.setattr("training.run.journal.NOTE_EVERY", 1)
    train(config, library, tmp_path / "each", Limits())
    monkeypatch.setattr("training.run.journal.NOTE_EVERY", 5)
    train(config, library, tmp_path / "few", Limits())
    each, few = losses(tmp_path / "each"), losses(tmp_path / "few")
    assert few == pytest.approx({1: each[1], 5: sum(each[i] for i in range(2, 6)) / 4}, rel=1e-5)
