"""`model=auto`, the default, through the service and on the command line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.auto import AUTO, PERCEPTUAL, REAL, WHOLE
from tests.integration.running import Running
from tests.worker.media.clips import make_clip, numbered

pytestmark = pytest.mark.integration
FRAMES = 4


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clean video, and a video and a picture of the same in noise."""
    folder, rng = tmp_path_factory.mktemp("auto"), np.random.default_rng(1)
    frames = list(numbered(FRAMES))
    noisy = [(frame + rng.normal(0, 12, frame.shape)).clip(0, 255).astype(np.uint8) for frame in frames]
    Image.fromarray(noisy[0]).save(folder / "noisy.png")
    return {
        "clean": make_clip(folder / "clean.mp4", frames, options={"crf": "10"}),
        "noisy": make_clip(folder / "noisy.mkv", noisy, codec="ffv1", pix_fmt="bgr0"),
        "picture": folder / "noisy.png",
    }


@pytest.mark.parametrize(("name", "expected"), [("clean", PERCEPTUAL), ("noisy", REAL), ("picture", REAL)])
def test_who_names_no_model_gets_what_suits_the_input_and_is_told_why(
    service: Running, inputs: dict[str, Path], tmp_path: Path, name: str, expected: str
) -> None:
    path = inputs[name]
    with path.open("rb") as file:
        answer = service.http.post(
            "/estimate", files={"file": (path.name, file)}, headers={"Prefer": "wait=60"}
        )
    foretold: dict[str, Any] = service.finished(answer.json()["id"])["report"]
    job = service.finished(service.post(path))
    assert job["state"] == "succeeded", job["error"]
    assert (job["model"], job["report"]["model"]) == (expected, expected)
    strength = job["report"]["strength"]
    taken = expected if strength == WHOLE else f"{expected} at {strength} %"
    assert job["report"]["model_reason"].startswith(f"auto took {taken}: ")
    told = ("model", "strength", "model_reason")
    assert [foretold[each] for each in told] == [job["report"][each] for each in told]
    here = tmp_path / f"here{path.suffix}"
    command = [sys.executable, "-m", "service.command", "upscale", str(path), str(here), "--model", AUTO]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert job["report"]["model_reason"] in done.stderr


def test_a_folder_of_frames_is_judged_by_its_first(inputs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        (tmp_path / "in" / f"{number}.png").write_bytes(inputs["picture"].read_bytes())
    command = [
        sys.executable,
        "-m",
        "service.command",
        "upscale",
        str(tmp_path / "in"),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"auto took {REAL}" in done.stderr


def test_the_list_of_models_explains_auto(service: Running) -> None:
    by_name = {model["name"]: model for model in service.http.get("/models").json()["models"]}
    assert by_name[AUTO]["default_for"] == ["video", "animation", "image"]
    assert {each["model"] for each in by_name[AUTO]["card"]["chooses"]} <= by_name.keys()
