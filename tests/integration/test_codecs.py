"""Each codec that a video is written with, through the service and the command line: decoded and compared."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.integration.running import Running
from tests.worker.media.clips import Sound, make_clip, number_of
from worker.media.checking.verify import verify

pytestmark = pytest.mark.integration
FRAMES = 30
CHOICES = {  # what is sent: codec, pixel format and suffix of the result
    "av1": ({"codec": "av1"}, "av1", "yuv420p", ".mp4"),
    "av1 in matroska": ({"codec": "av1", "format": "mkv"}, "av1", "yuv420p", ".mkv"),
    "webm": ({"format": "webm"}, "av1", "yuv420p", ".webm"),
    "prores": ({"codec": "prores"}, "prores", "yuv422p10le", ".mov"),
    "prores proxy": ({"codec": "prores", "quality": 1}, "prores", "yuv422p10le", ".mov"),
    "mov": ({"format": "mov"}, "h264", "yuv420p", ".mov"),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sound = [Sound(codec="libopus")]
    return make_clip(tmp_path_factory.mktemp("codecs") / "clip.mkv", FRAMES, sound=sound)


@pytest.mark.parametrize("case", CHOICES)
def test_a_clip_comes_back_as_was_asked_here_and_on_the_command_line(
    service: Running, clip: Path, tmp_path: Path, case: str
) -> None:
    options, codec, pix_fmt, suffix = CHOICES[case]
    job_id = service.post(clip, model="bicubic", **({"format": suffix[1:]} | options))
    result = service.result(job_id, tmp_path)
    report = service.job(job_id)["report"]
    assert (report["codec"], result.suffix) == (codec, suffix)
    missing = ["audio stream 1 (opus) is missing"] * (suffix == ".mov")
    assert verify(clip, result, scale=4)["problems"] == missing
    assert len(report["dropped"]) == len(missing)
    here = tmp_path / f"here{suffix}"
    command = [sys.executable, "-m", "service.command", "upscale", str(clip), str(here), "--model", "bicubic"]
    given = [f"--{name}={value}" for name, value in options.items() if name != "format"]
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with av.open(str(result)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.pix_fmt == pix_fmt
    with av.open(str(here)) as container:
        assert np.array_equal([f.to_ndarray(format="rgb24") for f in container.decode(video=0)], frames)
    assert [number_of(frame) for frame in frames] == list(range(FRAMES))
