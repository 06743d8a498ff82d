"""The command line: one clear line when it goes wrong, and the right exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from service.command.main import main
from tests.service.api.samples import CLIP
from upscaled_client import patience


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP)
    return path


WRONG = {
    "no input": (["upscale", "missing.mp4", "out.mp4"], "missing.mp4: no such file"),
    "no folder": (["upscale", "clip.mp4", "nowhere/out.mp4"], "nowhere: no such folder"),
    "onto itself": (["upscale", "clip.mp4", "clip.mp4"], "the result would replace the input"),
    "no format": (["upscale", "clip.mp4", "out"], "must end in one of"),
    "unknown format": (["submit", "clip.mp4", "-o", "out.heic"], "must end in one of"),
    "quality 0": (["upscale", "clip.mp4", "out.mp4", "--quality", "0"], "--quality 0"),
    "start before the start": (["submit", "clip.mp4", "-o", "out.mp4", "--start", "-1"], "--start -1"),
}


@pytest.mark.parametrize(("arguments", "reason"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.usefixtures("clip")
def test_wrong_arguments_are_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("upscaled: ")
    assert reason in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["upscale"], ["upscale", "a.mp4", "b.mp4", "--scale", "5"], ["submit", "a.mp4"]],
)
def test_arguments_that_cannot_be_read_show_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: upscaled" in capsys.readouterr().err


def test_where_no_worker_is_installed_the_other_commands_are_there(tmp_path: Path) -> None:
    """As in the image of the API, where keys are made."""
    code = """
import sys
for name in ("worker", "model_core", "training", "torch", "upscaled_client"):
    sys.modules[name] = None  # so that it can't be imported
from service.command.main import main
sys.exit(main(["keys", "create", "ann"]))
"""
    environment = os.environ | {"UPSCALED_DATA_DIR": str(tmp_path)}
    made = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (made.returncode, made.stdout[:4]) == (0, "upk_"), made.stderr


@pytest.mark.parametrize("port", ["eighty", "0", "65536", ""])
def test_a_port_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    monkeypatch.setenv("PORT", port)
    assert main(["serve"]) == 2
    assert "PORT must be a port number" in capsys.readouterr().err


def test_a_setting_nobody_declared_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPSCALED_SHARPNESS", "11")
    assert main(["serve"]) == 2
    assert "UPSCALED_SHARPNESS" in capsys.readouterr().err


def test_a_server_that_is_away_is_one_line_and_status_1(
    clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_PATIENCE_S", 0.0)
    assert main(["submit", str(clip), "-o", "large.mp4", "--server", "http://127.0.0.1:1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("upscaled: http://127.0.0.1:1")
    assert error.count("\n") == 1


def test_the_command_line_loads_neither_torch_nor_the_server_until_asked() -> None:
    heavy = ["torch", "av", "cv2", "fastapi", "uvicorn", "httpx", "celery"]
    code = (
        "import sys; from service.command.main import make_parser; make_parser(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_a_folder_of_frames_is_upscaled_into_another(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in (7, 8):
        Image.new("RGB", (6, 4), (number, 0, 0)).save(source / f"{number}.png")
    assert main(["upscale", str(source), str(target), "--scale", "2", "--model", "bicubic"]) == 0
    for number in (7, 8):
        with Image.open(target / f"{number}.png") as frame:
            assert frame.size == (12, 8)
