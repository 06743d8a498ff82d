"""Reading material, and keeping evaluation data out."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.made import panning, shot_name, textured, write_frames, write_video
from training.data import sources
from training.data.sources import SourceError, is_held_out, load_library, make_levels, shrink, without_repeats


def test_folder_gives_shots_held_out_shots_and_photographs(material: Path) -> None:
    library = load_library(material)
    assert [clip.name for clip in library.clips] == [shot_name(held_out=False)]
    assert [clip.name for clip in library.held_out] == [shot_name(held_out=True)]
    assert np.array_equal(library.clips[0].frames, panning(6, 96, 96, 1))
    assert [photo.shape for photo in library.photos] == [(120, 160, 3)]


def test_video_is_decoded_to_every_frame(tmp_path: Path) -> None:
    frames = panning(5, 64, 64, 0)
    write_video(tmp_path / "shot.mkv", frames)
    library = load_library(tmp_path)
    found = (*library.clips, *library.held_out)
    assert len(found) == 1
    assert np.array_equal(found[0].frames, frames)


def test_evaluation_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "calendar.png"
    cv2.imwrite(str(file), textured(32, 32, 0))
    load_library(tmp_path)  # an unknown picture is welcome
    refused = tmp_path / "refused.txt"
    refused.write_text(hashlib.sha256(file.read_bytes()).hexdigest() + "  vid4/calendar.png\n")
    monkeypatch.setattr(sources, "REFUSED", refused)
    with pytest.raises(SourceError, match=r"calendar\.png.*evaluation"):
        load_library(tmp_path)


def test_list_of_evaluation_files_holds_vid4() -> None:
    lines = sources.REFUSED.read_text().splitlines()
    assert sum("vid4/" in line for line in lines) == 4
    assert all(len(line.split()[0]) == 64 for line in lines)


def test_large_shot_is_kept_at_its_smaller_levels_only() -> None:
    frames = np.zeros((2, 360, 640, 3), np.uint8)
    assert [level.frames.shape[1:3] for level in make_levels("a", frames)] == [(180, 320), (240, 427)]
    small = np.zeros((2, 100, 100, 3), np.uint8)
    assert [level.frames.shape[1:3] for level in make_levels("a", small)] == [(100, 100)]


def test_shrunk_stripes_too_fine_to_show_become_grey() -> None:
    """A filter that aliases makes coarse stripes of them."""
    stripes = np.zeros((1, 90, 90, 3), np.uint8)
    stripes[:, :, ::2] = 200
    inner = shrink(stripes, 2 / 3)[:, 8:-8, 8:-8].astype(int)
    assert inner.shape[1:3] == (44, 44)
    assert np.ptp(inner) < 30 < np.ptp(cv2.resize(stripes[0], (60, 60), interpolation=cv2.INTER_AREA))


def test_repeated_frames_are_left_out_of_what_is_learned() -> None:
    frames = panning(6, 64, 64, 0)
    repeated = frames[[0, 0, 1, 2, 2, 3, 4, 5]].copy()
    repeated[1, 0, 0] += 1  # compression leaves a trace of its own
    assert np.array_equal(without_repeats(repeated)[2:], frames[2:])
    still = np.stack([frames[0]] * 4)
    assert np.array_equal(without_repeats(still), still)


def test_side_of_a_shot_depends_on_its_name_alone() -> None:
    held_out = [is_held_out(f"clip-{i}") for i in range(1400)]
    assert 50 < sum(held_out) < 150


def test_frames_of_unequal_size_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "shot", panning(3, 32, 32, 0))
    cv2.imwrite(str(tmp_path / "shot" / "00000009.png"), textured(16, 32, 0))
    with pytest.raises(SourceError, match="differ in size"):
        load_library(tmp_path)


def test_empty_folder_and_broken_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither"):
        load_library(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(SourceError, match="not a readable image"):
        load_library(tmp_path)
