"""The loop on a CUDA device: the batches, losses and resumed runs of a processor, but for the order of sums.

Needs pytest, torch, numpy, OpenCV and safetensors alone, as tests/worker/engine/test_cuda.py does.
"""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.training.made import config_of, random_vgg
from training.data.sampler import CPU, Sampler
from training.data.sources import Library, load_library
from training.losses.perceptual import VGG16
from training.presets import PRESETS
from training.run import train as loop
from training.run.processes import Processes
from training.run.train import Limits, train

DEVICE = torch.device("cuda")
TINY = config_of(
    features=8, blocks=1, batch=2, frames=3, crop=16, iterations=6, warmup_iterations=2, precision="fp32",
    learning_rate=1e-3, photo_share=0.5, validate_every=3,
)  # fmt: skip

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(scope="module")
def library(material: Path) -> Library:
    return load_library(material)


@pytest.fixture(autouse=True)
def every_step_noted_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.run.journal.NOTE_EVERY", 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def noted(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


@pytest.mark.parametrize("preset", ["teco_lite", "frvsr_paper", "srgan"])
def test_batch_on_the_device_is_that_of_the_processor(preset: str, library: Library) -> None:
    config = PRESETS[preset].override({"vgg_weight": 0.0})
    shape = (4, 3 if config.model.recurrent else 1, 16)
    here, there = (Sampler(library, config, device).batch(1, shape) for device in (CPU, DEVICE))
    for name in ("low", "target"):
        found, expected = getattr(there, name), getattr(here, name)
        assert found.device.type == DEVICE.type
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-7)
    assert (here.flow is None) == (there.flow is None)
    if here.flow is not None and there.flow is not None:
        assert torch.equal(there.flow.cpu(), here.flow)


@pytest.mark.parametrize("flow", ["dis", "fnet", "pyramid"])
def test_losses_are_those_of_the_processor(
    flow: str, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TINY.override({"flow": flow, "warp_weight": 0.0 if flow == "dis" else 1.0})
    train(config, library, tmp_path / "there", Limits())
    monkeypatch.setattr(loop, "join_processes", lambda: Processes(0, 1, CPU))
    train(config, library, tmp_path / "here", Limits())
    there, here = (noted(tmp_path / place, "loss") for place in ("there", "here"))
    assert len(here) == TINY.schedule.iterations
    assert there[0] == pytest.approx(here[0], rel=1e-5)
    assert there == pytest.approx(here, rel=1e-2)  # Adam's first steps take the sign of each gradient
    scores = (noted(tmp_path / place, "psnr") for place in ("there", "here"))
    assert next(scores) == pytest.approx(next(scores), abs=0.1)


def test_run_cut_on_the_device_goes_on_as_one_that_was_not(library: Library, tmp_path: Path) -> None:
    """Not to the last digit: the gradients of warps are summed in any order there."""
    train(TINY, library, tmp_path / "one", Limits())
    for _ in range(2):
        train(TINY, library, tmp_path / "cut", Limits(steps=3))
    assert noted(tmp_path / "cut", "loss") == pytest.approx(noted(tmp_path / "one", "loss"), rel=1e-3)


def test_all_of_tecogan_learns_in_bf16(library: Library, tmp_path: Path) -> None:
    save_file(random_vgg(), tmp_path / VGG16.features_file)
    config = PRESETS["teco_lite"].override(
        {"features": 8, "blocks": 1, "batch": 2, "crop": 16, "iterations": 4, "critic_start": 1}
        | {"precision": "bf16", "validate_every": 2}
    )
    train(config, library, tmp_path / "run", Limits(), perceptual=tmp_path)
    for name in ("loss", "vgg", "gan", "critic", "critic_lead", "critic_right_held_out"):
        found = noted(tmp_path / "run", name)
        assert found
        assert all(math.isfinite(value) for value in found)
