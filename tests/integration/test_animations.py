"""Animations through the service and through the command line: decoded, and compared with their source."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.integration.running import Running
from tests.worker.media.animation.conftest import found_in

pytestmark = pytest.mark.integration
DELAYS_MS = [40, 100, 30, 250, 70]


@pytest.fixture(scope="module", params=["gif", "webp", "png"])
def animation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = []
    for index in range(len(DELAYS_MS)):
        frame = Image.new("RGBA", (48, 32))
        ImageDraw.Draw(frame).ellipse([4 + 5 * index, 6, 24 + 5 * index, 26], fill=(220, 40 * index, 30, 255))
        frames.append(frame)
    path = tmp_path_factory.mktemp("animations") / f"ball.{request.param}"
    given = (
        {"disposal": 2} if request.param == "gif" else {"lossless": True} if request.param == "webp" else {}
    )
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DELAYS_MS, loop=3, **given)
    return path


def test_it_comes_back_larger_with_its_delays_loops_and_holes(
    service: Running, animation: Path, tmp_path: Path
) -> None:
    job_id = service.post(animation, model="bicubic")
    path = service.result(job_id, tmp_path)
    assert service.job(job_id)["kind"] == "animation"
    assert path.suffix == animation.suffix
    frames, delays, loop = found_in(path)
    assert (delays, loop) == (DELAYS_MS, 3)
    for index, frame in enumerate(frames):
        assert frame.shape == (128, 192, 4)
        assert frame[64, 4 * (14 + 5 * index)].tolist() == pytest.approx([220, 40 * index, 30, 255], abs=4)
        assert frame[64, 4 * (14 + 5 * index) - 56, 3] == 0, "left of the ball, where it was before"
        assert frame[4, 4, 3] == 0


def test_the_command_line_gives_the_same_bytes(service: Running, animation: Path, tmp_path: Path) -> None:
    here = tmp_path / f"here{animation.suffix}"
    command = [sys.executable, "-m", "service.command", "upscale", str(animation), str(here)]
    done = subprocess.run([*command, "--model", "bicubic"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    posted = service.result(service.post(animation, model="bicubic"), tmp_path)
    assert here.read_bytes() == posted.read_bytes()


def test_a_still_is_a_picture_as_before(service: Running, tmp_path: Path) -> None:
    still = tmp_path / "still.gif"
    Image.new("RGB", (20, 20), (10, 20, 30)).save(still)
    job_id = service.post(still, model="bicubic")
    assert service.result(job_id, tmp_path).suffix == ".png"
    assert service.job(job_id)["kind"] == "image"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"format": "jpeg"}, "format"),
        ({"codec": "h264"}, "codec"),
        ({"format": "webp", "codec": "h264"}, "codec"),
        ({"format": "mp4", "codec": "ffv1"}, "format"),
        ({"start": "0.1"}, "start"),
    ],
)
def test_what_it_cannot_become_is_refused_before_any_work(
    service: Running, animation: Path, options: dict[str, str], field: str
) -> None:
    with animation.open("rb") as file:
        answer = service.http.post("/upscale", files={"file": (animation.name, file)}, data=options)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("invalid_option")
    assert answer.json()["field"] == field
