"""The main job as a user does it: a file goes up, a larger one comes back. Nothing runs in-process."""

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from service.jobs.report import Report
from tests.integration.conftest import MODEL
from tests.integration.running import Running
from tests.worker.media.clips import Sound, make_clip, make_fall
from tests.worker.media.enlarged import packets_of
from worker.job.steps.feeder import LEAD_IN
from worker.media.checking.verify import verify
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.types import Limits

pytestmark = pytest.mark.integration
LIMITS = Limits(pixels_max=10**8, duration_s_max=3600)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return make_clip(path, 40, rate=Fraction(30000, 1001), sound=[Sound()])


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def frames_of(path: Path) -> np.ndarray:
    source = probe(path, limits=LIMITS)
    timeline = scan(path, source, limits=LIMITS)
    return np.stack(list(decode(path, source, timeline, 0, timeline.frame_count)))


@pytest.mark.parametrize("scale", [4, 3, 2])
@pytest.mark.parametrize("model", ["bicubic", MODEL])
def test_a_clip_comes_back_larger_frame_for_frame_with_its_sound(
    service: Running, clip: Path, tmp_path: Path, model: str, scale: int
) -> None:
    result = service.result(service.post(clip, model=model, scale=scale), tmp_path)
    report = verify(clip, result, scale=scale)
    assert report["problems"] == []
    assert frames_of(result).shape == (40, 64 * scale, 96 * scale, 3)


@pytest.mark.parametrize(("options", "shape"), [({"height": 144}, (144, 216)), ({"width": 300}, (200, 300))])
def test_a_clip_becomes_as_large_as_was_asked(
    service: Running, clip: Path, tmp_path: Path, options: dict[str, int], shape: tuple[int, int]
) -> None:
    """Here and on the command line alike, and true to what four times would have been."""
    result = service.result(
        service.post(clip, model="bicubic", codec="ffv1", format="mkv", **options), tmp_path
    )
    assert verify(clip, result)["problems"] == []
    frames = frames_of(result)
    assert frames.shape == (40, *shape, 3)
    here = tmp_path / "here.mkv"
    command = [sys.executable, "-m", "service.command", "upscale", str(clip), str(here), "--model", "bicubic"]
    run([*command, "--codec", "ffv1", *(f"--{name}={value}" for name, value in options.items())])
    assert np.array_equal(frames_of(here), frames)
    low = frames_of(clip)
    again = np.stack([cv2.resize(frame, low.shape[2:0:-1], interpolation=cv2.INTER_AREA) for frame in frames])
    assert np.abs(again.astype(int) - low).mean() < 6


def test_a_picture_becomes_as_large_as_was_asked(service: Running, tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    Image.new("RGBA", (600, 400), (200, 10, 10, 128)).save(path)
    job_id = service.post(path, model=MODEL, size="1080p")
    result = service.result(job_id, tmp_path)
    assert result.name.endswith("in_1080p.png")
    with Image.open(result) as image:
        assert (image.size, image.mode) == ((1620, 1080), "RGBA")


def test_the_report_says_what_was_done(service: Running, clip: Path) -> None:
    job = service.finished(service.post(clip, model=MODEL))
    report = job["report"]
    assert (job["progress"]["frames_done"], job["progress"]["frames_total"]) == (40, 40)
    assert (report["frames_in"], report["frames_out"], report["timestamp_difference_s"]) == (40, 40, 0.0)
    on_the_way = ["decode", "flow", "generator", "wait", "convert", "encode", "preview", "upload"]
    assert {"plan", *on_the_way, "assemble"} == set(report["seconds_by_stage"])
    assert all(report["seconds_by_stage"].values())
    assert [stream["is_same"] for stream in report["copied"]] == [True]
    assert report.keys() <= Report.__annotations__.keys(), "say in service/jobs/report.py what is new"


def test_the_command_line_gives_the_same_frames_as_the_service(
    service: Running, clip: Path, tmp_path: Path
) -> None:
    posted = service.result(service.post(clip, codec="ffv1", format="mkv", model="bicubic"), tmp_path)
    here = tmp_path / "here.mkv"
    command = [sys.executable, "-m", "service.command", "upscale", str(clip), str(here)]
    run([*command, "--codec", "ffv1", "--model", "bicubic"])
    assert np.array_equal(frames_of(posted), frames_of(here))


def test_the_command_line_takes_sound_whose_times_fall(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 25, sound=[Sound()])
    make_fall(clip, "audio", 5, 105)
    result = tmp_path / "out.mkv"
    run([sys.executable, "-m", "service.command", "upscale", str(clip), str(result), "--model", "bicubic"])
    assert [len(each) for each in packets_of(result, "audio")] == [len(packets_of(clip, "audio")[0])]


def test_submit_does_over_http_what_curl_does(service: Running, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "service.command", "submit", str(clip), "-o", str(target)]
    run([*command, "--server", service.url])
    assert verify(clip, target, scale=4)["problems"] == []


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_a_picture_comes_back_upright_and_larger(service: Running, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"in.{kind}"
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:10, :15] = (250, 10, 10)  # red in the upper left corner of what is stored
    exif = Image.Exif()
    if kind == "jpeg":
        exif[0x0112] = 6  # shown turned by a quarter to the right
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    with Image.open(service.result(service.post(path, model=MODEL), tmp_path)) as result:
        assert result.format == kind.upper()
        assert result.getexif().get(0x0112, 1) == 1
        assert result.size == ((80, 120) if kind == "jpeg" else (120, 80))
        red = np.asarray(result.convert("RGB"))[..., 0]
    corner = red[:, -20:] if kind == "jpeg" else red[:, :20]
    assert corner[:20].mean() > 150 > corner[-20:].mean()


def test_transparency_is_enlarged_beside_the_colours(service: Running, tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    alpha = np.zeros((16, 16), np.uint8)
    alpha[4:12, 4:12] = 255
    rgba = np.dstack([np.full((16, 16, 3), 128, np.uint8), alpha])
    Image.fromarray(rgba).save(path)
    with Image.open(service.result(service.post(path, model="bicubic"), tmp_path)) as result:
        assert result.mode == "RGBA"
        enlarged = np.asarray(result)
    assert enlarged[32, 32, 3] == 255
    assert enlarged[2, 2, 3] == 0
    assert np.abs(enlarged[..., :3].astype(int) - 128).max() <= 1


def test_clips_posted_at_once_share_the_batch(service: Running, tmp_path: Path) -> None:
    before = _batches(service)
    clips = [make_clip(tmp_path / f"{n}.mp4", 90) for n in range(8)]
    with service.worker_stopped():  # or a slow upload would let the first end before the last begins
        jobs = [service.post(path, model=MODEL) for path in clips]
    for job_id in jobs:
        assert service.finished(job_id)["state"] == "succeeded"
    steps, frames = (now - then for now, then in zip(_batches(service), before, strict=True))
    assert frames == 8 * (90 + LEAD_IN)
    assert frames / steps > 1.5


def _batches(service: Running) -> tuple[float, float]:
    """How many steps the engine took, and frames in them."""
    text = httpx.get(service.worker_metrics_url).text
    count, total = (
        re.search(rf"^upscaled_batch_size_{name} (\S+)", text, re.MULTILINE) for name in ("count", "sum")
    )
    return (float(count[1]), float(total[1])) if count and total else (0.0, 0.0)
