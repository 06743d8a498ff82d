"""`strength` through the service and on the command line: from bicubic to all that the network made."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from service.command.main import main
from tests.integration.running import Running
from tests.worker.media.clips import make_clip, numbered

pytestmark = pytest.mark.integration
NETWORK = "teco-lite"
Make = Callable[..., np.ndarray]  # what comes back, (T, H, W, 3), for some options


def frames_of(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        return np.asarray(Image.open(path).convert("RGB"), int)[None]
    with av.open(str(path)) as container:
        return np.array([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], int)


@pytest.fixture(params=["clip.mkv", "picture.png"])
def given(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / str(request.param)
    if path.suffix == ".mkv":
        return make_clip(path, 8, codec="ffv1")
    [pixels] = numbered(1)
    Image.fromarray(np.asarray(pixels)).save(path)
    return path


@pytest.fixture(params=["service", "command"])
def make(service: Running, given: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    lossless = {"codec": "ffv1"} if given.suffix == ".mkv" else {}

    def by_service(**options: object) -> np.ndarray:
        return frames_of(service.result(service.post(given, **options, **lossless), tmp_path))

    def by_command(**options: object) -> np.ndarray:
        made = tmp_path / f"made{given.suffix}"
        arguments = [f"--{name}={value}" for name, value in {**options, **lossless}.items()]
        assert main(["upscale", str(given), str(made), *arguments]) == 0
        return frames_of(made)

    return {"service": by_service, "command": by_command}[str(request.param)]


def test_strength_leads_from_bicubic_interpolation_to_all_that_the_network_made(make: Make) -> None:
    plain, whole = make(model="bicubic"), make(model=NETWORK)
    none, half, all_of_it = (make(model=NETWORK, strength=strength) for strength in (0, 50, 100))
    assert np.abs(whole - plain).max() > 10, "the network does too little for this to tell anything"
    assert np.abs(none - plain).max() <= 1
    assert np.array_equal(all_of_it, whole)
    assert np.abs(half - (plain + whole) / 2).max() <= 1.5
