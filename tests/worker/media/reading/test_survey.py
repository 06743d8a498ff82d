"""A look at packets: frames and where detail is, without decoding."""

from pathlib import Path

import av
import numpy as np
import pytest

from service.errors import BrokenMedia
from tests.worker.media.clips import make_clip
from worker.media.reading.probe import probe
from worker.media.reading.survey import SAMPLE_S, survey
from worker.media.sandbox import reading as sandbox
from worker.media.types import Limits

LIMITS = Limits(pixels_max=10**7, duration_s_max=3600)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Ten seconds at ten frames a second: grey, but for noise from 5 s to 8 s."""
    path = tmp_path_factory.mktemp("uneven") / "uneven.mp4"
    noise = np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(100):
            pixels = np.full((48, 64, 3), 128, np.uint8)
            if 50 <= index < 80:
                pixels = noise.integers(0, 256, (48, 64, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    return path


def test_all_frames_are_counted_and_the_richest_part_is_found(uneven):
    source = probe(uneven, limits=LIMITS)
    found = survey(uneven, source)
    assert (found.frame_count, found.richest_s) == (100, 5.0)
    assert sandbox.survey(uneven, source) == found


def test_a_part_is_counted_by_itself(uneven):
    source = probe(uneven, limits=LIMITS)
    found = survey(uneven, source, start_s=1.0, duration_s=2.5)
    assert found.frame_count == 25
    assert 1.0 <= found.richest_s <= 3.5
    with pytest.raises(BrokenMedia):
        survey(uneven, source, start_s=11.0)


def test_of_a_short_video_the_beginning_is_the_sample(tmp_path: Path):
    path = make_clip(tmp_path / "short.mp4", 20)
    assert survey(path, probe(path, limits=LIMITS)).richest_s < SAMPLE_S
