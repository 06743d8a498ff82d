"""What is measured of an input follows what was done to it."""

from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.auto import Pixels, Traits
from tests.worker.media.clips import make_clip, numbered
from worker.media.reading.probe import probe
from worker.media.reading.survey import survey
from worker.media.reading.timeline import scan
from worker.media.traits import Meter, measure, traits_of
from worker.media.types import Limits, Timeline

LIMITS = Limits(pixels_max=10**7, duration_s_max=100)
Plane = NDArray[np.uint8]


def scene(height: int = 192, width: int = 256, *, seed: int = 1) -> NDArray[np.float64]:
    """Flat places, slopes, edges and texture, as a camera sees them: a little blurred."""
    rng = np.random.default_rng(seed)
    drawn = np.linspace(60, 180, width) * np.ones((height, 1))
    drawn[height // 2 :, width // 2 :] = rng.uniform(30, 220, (height - height // 2, width - width // 2))
    for _ in range(12):
        centre = (int(rng.integers(width // 2)), int(rng.integers(height)))
        cv2.circle(drawn, centre, int(rng.integers(5, 25)), float(rng.integers(30, 220)), -1)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), 1.2))


def levels(plane: NDArray[np.floating]) -> Plane:
    return np.asarray(plane.round().clip(0, 255), np.uint8)


def jpeg(plane: Plane, quality: int) -> Plane:
    _, code = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)


def measured(plane: Plane) -> Pixels:
    found = measure(plane)
    assert found is not None
    return found


@pytest.mark.parametrize("deviation", [2.0, 5.0, 10.0, 20.0])
def test_noise_is_told_in_levels(deviation: float) -> None:
    noise = np.random.default_rng(2).normal(0, deviation, scene().shape)
    assert measured(levels(scene() + noise)).noise == pytest.approx(deviation, rel=0.25)


def test_more_noise_measures_as_more() -> None:
    noise = np.random.default_rng(2).standard_normal(scene().shape)
    found = [measured(levels(scene() + deviation * noise)).noise for deviation in (0, 1, 2, 4, 8, 16)]
    assert all(less < more for less, more in pairwise(found))
    assert found[0] < 0.5


def test_harder_compression_measures_as_more_blocks() -> None:
    found = [measured(jpeg(levels(scene()), quality)).blockiness for quality in (95, 70, 40, 15)]
    assert all(less < more for less, more in pairwise(found))
    assert measured(levels(scene())).blockiness < found[0] + 0.05


def test_blocks_are_found_whatever_the_size_of_the_frame() -> None:
    """Guards against a crop from the middle that forgets where the blocks begin."""
    for height, width in ((600, 1001), (517, 531)):
        blocky = measured(jpeg(levels(scene(height, width)), 15)).blockiness
        assert blocky > 2 * measured(levels(scene(height, width))).blockiness + 0.1


def test_blur_measures_as_less_sharp() -> None:
    found = [measured(levels(cv2.GaussianBlur(scene(), (0, 0), blur))).sharpness for blur in (2, 1, 0.5)]
    assert all(less < more for less, more in pairwise(found))
    assert measured(levels(scene()[::3, ::3])).sharpness > found[-1]  # as who takes every third pixel


@pytest.mark.parametrize("shape", [(1, 1), (23, 400), (400, 8)])
def test_a_small_picture_tells_nothing(shape: tuple[int, int]) -> None:
    assert measure(np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)) is None


def test_a_plain_picture_tells_nothing() -> None:
    assert measure(np.full((200, 200), 16, np.uint8)) is None
    assert traits_of(np.zeros((200, 200, 3), np.uint8)) is None


def test_sixteen_bits_measure_as_eight() -> None:
    rgb = np.repeat(levels(scene())[..., None], 3, 2)
    assert traits_of(rgb.astype(np.uint16) * 257) == traits_of(rgb)


def test_black_frames_do_not_speak_for_a_video() -> None:
    meter = Meter()
    for _ in range(9):
        meter.add(av.VideoFrame.from_ndarray(np.full((192, 256), 16, np.uint8), format="gray"))
    assert meter.finish() is None
    noisy = levels(scene() + np.random.default_rng(2).normal(0, 8, scene().shape))
    meter.add(av.VideoFrame.from_ndarray(noisy, format="gray"))
    found = meter.finish()
    assert found is not None
    assert found.noise == pytest.approx(8, rel=0.25)


def test_however_long_a_video_is_a_few_frames_speak_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    meter, looked_at = Meter(), []
    monkeypatch.setattr("worker.media.traits.measure", lambda plane: looked_at.append(int(plane[0, 0])))
    for index in range(250):
        meter.add(av.VideoFrame.from_ndarray(np.full((24, 24), index, np.uint8), format="gray"))
    assert len(looked_at) < 70
    assert min(looked_at) == 0
    assert max(looked_at) > 220


def coded(folder: Path, crf: int, codec: str = "libx264") -> Timeline:
    clip = make_clip(folder / f"{crf}.mkv", 12, codec=codec, options={"crf": str(crf)})
    return scan(clip, probe(clip, limits=LIMITS), limits=LIMITS)


def traits(timeline: Timeline) -> Traits:
    assert timeline.traits is not None
    return timeline.traits


def test_h264_says_how_coarsely_it_was_quantised(tmp_path: Path) -> None:
    found = [traits(coded(tmp_path, crf)) for crf in (12, 23, 34)]
    told = [each.quantiser or 0 for each in found]
    assert told == pytest.approx([12, 23, 34], abs=10)  # CRF is of what is kept; pictures between get more
    assert told[0] < told[1] < told[2]
    bits = [each.bits_per_pixel or 0 for each in found]
    assert bits[0] > bits[1] > bits[2] > 0


def test_a_quantiser_is_the_same_however_often_it_is_read(tmp_path: Path) -> None:
    """Guards against asking a decoder of several threads, which tells of blocks that it has not read yet."""
    clip = make_clip(tmp_path / "clip.mkv", numbered(40, 640, 360), width=640, height=360)
    source = probe(clip, limits=LIMITS)
    assert len({traits(scan(clip, source, limits=LIMITS)).quantiser for _ in range(5)}) == 1


def test_what_is_told_of_a_video_travels_with_its_timeline(tmp_path: Path) -> None:
    timeline = coded(tmp_path, 23)
    assert Timeline.from_json(timeline.to_json()) == timeline


def test_a_survey_sees_what_the_plan_will_see(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 12)
    source = probe(clip, limits=LIMITS)
    assert survey(clip, source).traits == traits(scan(clip, source, limits=LIMITS))
