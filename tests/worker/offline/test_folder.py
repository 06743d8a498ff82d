from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidOption, UnsupportedMedia
from service.jobs.model import Options
from worker.media.pictures.reading import read_image
from worker.offline.folder import upscale_folder


def ignore(_done: int, _total: int | None) -> None:
    pass


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (1, 2, 10):
        Image.new("RGB", (12, 8), (number * 20, 0, 0)).save(folder / f"shot{number}.png")
    return folder


@pytest.mark.parametrize("scale", [2, 4])
def test_every_frame_comes_back_larger_under_its_own_name(source: Path, tmp_path: Path, scale: int) -> None:
    seen: list[tuple[int, int | None]] = []
    report = upscale_folder(
        source, tmp_path / "out", Options(scale=scale, model="bicubic"), lambda *at: seen.append(at)
    )  # type: ignore[arg-type]
    assert report["frames"] == 3
    assert "missing" in report["notices"][0]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for number in (1, 2, 10):
        high = read_image(tmp_path / "out" / f"shot{number}.png", pixels_max=10**6).rgb
        assert high.shape == (8 * scale, 12 * scale, 3)
        assert np.abs(high - np.array((number * 20, 0, 0))).max() <= 1


def test_a_frame_of_another_size_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(source / "shot11.png")
    with pytest.raises(UnsupportedMedia, match=r"shot11\.png"):
        upscale_folder(source, tmp_path / "out", Options(), ignore)


def test_transparent_frames_are_refused_by_name(source: Path, tmp_path: Path) -> None:
    Image.new("RGBA", (12, 8), (0, 0, 0, 9)).save(source / "shot2.png")
    with pytest.raises(UnsupportedMedia, match=r"shot2\.png is transparent"):
        upscale_folder(source, tmp_path / "out", Options(), ignore)


def test_options_of_videos_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="codec"):
        upscale_folder(source, tmp_path / "out", Options(codec="h264"), ignore)
