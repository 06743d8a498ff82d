"""Ten bits and HDR through the service and the command line: decoded, and compared with their source."""

import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.integration.running import Running
from tests.worker.media.clips import make_clip
from worker.media.checking.verify import verify

pytestmark = pytest.mark.integration

FRAMES = 10
SDR = {"matrix": 1, "primaries": 1, "transfer": 1, "range": 1}
PQ = {"matrix": 9, "primaries": 9, "transfer": 16, "range": 1}
LIT = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"


def ramp(index: int) -> av.VideoFrame:
    """Each level of the middle half of ten bits, moving by a pixel a frame."""
    frame = av.VideoFrame(256, 64, "yuv420p10le")
    for plane, samples in enumerate(frame.planes):
        levels = np.full((samples.height, samples.line_size // 2), 512, np.uint16)
        if plane == 0:
            levels[:, :256] = 256 + 2 * np.arange(256) + 2 * index
        samples.update(levels.tobytes())
    return frame


@pytest.fixture(scope="module", params=["sdr", "pq"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tags, params = (SDR, "") if request.param == "sdr" else (PQ, LIT)
    options = {"crf": "4", "x265-params": params}
    path = tmp_path_factory.mktemp("deep") / f"{request.param}.mp4"
    frames = [ramp(index) for index in range(FRAMES)]
    given = {"codec": "libx265", "pix_fmt": "yuv420p10le", "colour": tags, "options": options}
    return make_clip(path, frames, width=256, height=64, **given)


def luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        planes = [(frame.planes[0], frame.format.name) for frame in container.decode(video=0)]
        assert {name for _, name in planes} == {"yuv420p10le"}
        return np.stack(
            [np.frombuffer(bytes(p), np.uint16).reshape(p.height, -1)[:, : p.width] for p, _ in planes]
        ).astype(float)


def test_ten_bits_come_back_as_ten_with_all_that_was_said_of_them(
    service: Running, clip: Path, tmp_path: Path
) -> None:
    job_id = service.post(clip, model="bicubic")
    path = service.result(job_id, tmp_path)
    report = service.job(job_id)["report"]
    assert (report["codec"], report["bit_depth"]) == ("hevc", 10)
    assert report["hdr"] == ("PQ" if clip.stem == "pq" else None)
    assert verify(clip, path, scale=4)["problems"] == []
    before, after = luma(clip), luma(path)
    wanted = before.reshape(FRAMES, 64, 1, 256, 1).repeat(4, 2).repeat(4, 4).reshape(after.shape)
    inside = np.abs(after - wanted)[..., 8:-8]
    assert inside.mean() < 1.5
    assert len(np.unique(after[0])) > 450  # eight bits would have 130


def test_the_command_line_gives_the_same_bytes(service: Running, clip: Path, tmp_path: Path) -> None:
    here = tmp_path / "here.mp4"
    command = [sys.executable, "-m", "service.command", "upscale", str(clip), str(here), "--model", "bicubic"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert here.read_bytes() == service.result(service.post(clip, model="bicubic"), tmp_path).read_bytes()


def test_h264_is_refused_for_hdr_with_the_reason_and_reduces_the_rest(
    service: Running, clip: Path, tmp_path: Path
) -> None:
    job_id = service.post(clip, model="bicubic", codec="h264")
    job = service.finished(job_id)
    if clip.stem == "pq":
        assert (job["state"], job["error"]["code"]) == ("failed", "invalid_option")
        assert "HDR" in job["error"]["message"]
    else:
        assert job["report"]["bit_depth"] == 8
        assert any("reduced to 8" in notice for notice in job["report"]["notices"])


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_picture_of_sixteen_bits_stays_one(service: Running, tmp_path: Path, suffix: str) -> None:
    low = np.dstack([np.tile(np.arange(64, dtype=np.uint16) * 1000 + 17, (32, 1))] * 3)
    source = tmp_path / f"ramp{suffix}"
    cv2.imwrite(str(source), low)
    job_id = service.post(source, model="bicubic")
    path = service.result(job_id, tmp_path)
    high = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    wanted = ((np.arange(256) + 0.5) / 4 - 0.5) * 1000 + 17
    level = 64  # of ten bits
    assert np.abs(high[:, 12:-12].astype(float) - wanted[None, 12:-12, None]).max() < level
    assert service.job(job_id)["report"]["bit_depth"] == 16
    assert verify(source, path, scale=4)["problems"] == []
    here = tmp_path / f"here{suffix}"
    command = [sys.executable, "-m", "service.command", "upscale", str(source), str(here)]
    done = subprocess.run([*command, "--model", "bicubic"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert here.read_bytes() == path.read_bytes()
