"""What a job survives: a worker killed, the service stopped, a cancellation beside it."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.conftest import MODEL, publish_small_model
from tests.integration.running import Running, eventually
from tests.integration.test_main_job import frames_of
from tests.servers import free_ports
from tests.worker.media.clips import Sound, make_clip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
FRAMES = 100
LOSSLESS = {"codec": "ffv1", "format": "mkv", "model": MODEL}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """One shot, so that its segments are a chain."""
    return make_clip(tmp_path / "clip.mp4", FRAMES, sound=[Sound()])


def begun(service: Running, job_id: str, frames: int) -> None:
    eventually(lambda: service.job(job_id)["progress"]["frames_done"] >= frames, 60)


def test_a_worker_killed_in_mid_job_is_followed_by_another_and_the_frames_are_the_same(
    own_service: Running, clip: Path, tmp_path: Path
) -> None:
    undisturbed = own_service.result(own_service.post(clip, **LOSSLESS), tmp_path)
    job_id = own_service.post(clip, **LOSSLESS)
    begun(own_service, job_id, 30)
    own_service.kill_worker()
    disturbed = own_service.result(job_id, tmp_path)
    assert np.array_equal(frames_of(undisturbed), frames_of(disturbed))
    report = own_service.job(job_id)["report"]
    assert report["segments"] == FRAMES / 20
    wasted = report["attempts"] - (report["segments"] + 2)  # plan and assembly beside the segments
    assert wasted in (0, 1)  # the segment in hand, unless the kill fell between two


def test_a_worker_killed_in_mid_picture_is_followed_by_another_and_the_result_is_the_same(
    own_service: Running, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (75, 100, 3), np.uint8)
    Image.fromarray(noise).resize((1600, 1200)).save(tmp_path / "picture.jpg")  # seconds of work
    undisturbed = own_service.result(own_service.post(tmp_path / "picture.jpg", model=MODEL), tmp_path)
    job_id = own_service.post(tmp_path / "picture.jpg", model=MODEL)
    eventually(lambda: own_service.job(job_id)["state"] == "running", 60)
    own_service.kill_worker()
    disturbed = own_service.result(job_id, tmp_path)
    assert undisturbed.read_bytes() == disturbed.read_bytes()
    assert own_service.job(job_id)["report"]["attempts"] == 2


def test_ctrl_c_in_mid_job_and_a_new_start_end_the_job_well(tmp_path: Path, clip: Path) -> None:
    data, port, settings = tmp_path / "data", free_ports(1)[0], {"segment_frames_max": 20}
    publish_small_model(data)
    with Running(data, port, **settings) as service:
        job_id = service.post(clip, **LOSSLESS)
        begun(service, job_id, 30)
    before = service.log
    with Running(data, port, **settings) as service:
        assert frames_of(service.result(job_id, tmp_path)).shape[0] == FRAMES
        report = service.job(job_id)["report"]
        assert report["attempts"] == report["segments"] + 2, (
            before + service.log
        )  # what was given back did not count


def test_cancelling_frees_the_device_at_once(own_service: Running, clip: Path) -> None:
    job_id = own_service.post(clip, **LOSSLESS)
    begun(own_service, job_id, 20)
    own_service.http.post(f"/jobs/{job_id}/cancel").raise_for_status()
    frames_done = own_service.finished(job_id)["progress"]["frames_done"]
    assert own_service.job(job_id)["state"] == "cancelled"
    time.sleep(2)
    assert own_service.job(job_id)["progress"]["frames_done"] == frames_done < FRAMES


def test_a_model_published_while_running_is_served_to_new_jobs(own_service: Running, clip: Path) -> None:
    first = own_service.finished(own_service.post(clip, **LOSSLESS))["version"]
    second = publish_small_model(own_service.folder, seed=2)
    assert second != first
    eventually(
        lambda: own_service.finished(own_service.post(clip, duration=0.1, **LOSSLESS))["version"] == second,
        60,  # seconds on a quiet machine; a full one loads and times a model more slowly
    )
