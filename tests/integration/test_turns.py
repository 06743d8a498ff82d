"""A film of many shots and pictures posted after it, on one worker."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.conftest import MODEL, publish_small_model
from tests.integration.running import Running, eventually
from tests.integration.test_main_job import frames_of
from tests.servers import free_ports
from tests.worker.media.clips import make_clip, numbered

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
SHOT, SHOTS, PICTURES = 6, 60, 8


@pytest.mark.parametrize("streams", [1, 4])
def test_pictures_posted_behind_a_film_are_done_while_it_goes_on(tmp_path: Path, streams: int) -> None:
    """With one stream they take turns; with four one is kept for them."""
    scenes = [frame for seed in range(SHOTS) for frame in numbered(SHOT, seed=seed, first=seed * SHOT)]
    film = make_clip(tmp_path / "film.mp4", scenes)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "picture.png")
    publish_small_model(tmp_path / "data")
    with Running(tmp_path / "data", free_ports(1)[0], worker_streams=streams) as service:
        job_id = service.post(film, codec="ffv1", format="mkv", model=MODEL)
        eventually(lambda: service.job(job_id)["progress"]["frames_done"] >= 3 * SHOT, 60)
        posted = [service.post(tmp_path / "picture.png", model=MODEL) for _ in range(PICTURES)]
        before = service.job(job_id)["progress"]["frames_done"]
        pictures = [service.finished(each) for each in posted]
        after = service.job(job_id)["progress"]["frames_done"]
        assert [each["state"] for each in pictures] == ["succeeded"] * PICTURES
        # Before, what ran had to end, and a shot had its turn after as many pictures as it has frames.
        assert after - before <= SHOT * SHOTS / 3
        service.finished(job_id, within_s=180)
        result = service.result(job_id, tmp_path)
        report = service.job(job_id)["report"]
    assert len(frames_of(result)) == SHOT * SHOTS
    assert report["segments"] >= SHOTS
    assert report["attempts"] == report["segments"] + 2
