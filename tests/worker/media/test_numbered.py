"""Folders of numbered frames: order, gaps, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidOption, NotMedia, UnsupportedMedia
from worker.media.numbered import FrameWriter, list_frames, read_frames

PIXELS_MAX = 10_000


def fill(folder, names, size=(8, 6)):
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        Image.new("RGB", size, (index, 0, 0)).save(folder / name)
    return folder


def test_frames_come_in_the_order_of_their_numbers(tmp_path):
    names = ["frame10.png", "frame2.png", "frame1.png", "frame009.png"]
    found = list_frames(fill(tmp_path / "in", names))
    assert [path.name for path in found.paths] == ["frame1.png", "frame2.png", "frame009.png", "frame10.png"]
    red = [picture.rgb[0, 0, 0] for picture in read_frames(found, 1, 3, pixels_max=PIXELS_MAX)]
    assert red == [1, 3]


def test_the_last_number_of_a_name_counts(tmp_path):
    found = list_frames(fill(tmp_path / "in", ["take2-0010.png", "take2-0009.png"]))
    assert [path.name for path in found.paths] == ["take2-0009.png", "take2-0010.png"]
    assert found.notices == ()


def test_gaps_are_told_and_skipped(tmp_path):
    found = list_frames(fill(tmp_path / "in", ["1.png", "2.png", "5.png"]))
    assert found.frame_count == 3
    assert "2 numbers between 1 and 5" in found.notices[0]


def test_other_files_are_left_alone_with_a_notice(tmp_path):
    folder = fill(tmp_path / "in", ["1.png", "cover.png"])
    (folder / "notes1.txt").write_text("not a picture")
    (folder / ".hidden1.png").write_text("")
    found = list_frames(folder)
    assert [path.name for path in found.paths] == ["1.png"]
    assert "2 files" in found.notices[0]


@pytest.mark.parametrize("names", [["a1.png", "a01.png"], ["a1.png", "b2.png"]])
def test_an_ambiguous_folder_is_refused(tmp_path, names):
    with pytest.raises(UnsupportedMedia):
        list_frames(fill(tmp_path / "in", names))


@pytest.mark.parametrize("names", [[], ["cover.png"]])
def test_a_folder_without_numbered_pictures_is_refused(tmp_path, names):
    with pytest.raises(NotMedia):
        list_frames(fill(tmp_path / "in", names))


def test_a_frame_of_another_size_is_refused_by_name(tmp_path):
    folder = fill(tmp_path / "in", ["1.png", "2.png"])
    fill(folder, ["3.png"], size=(9, 6))
    with pytest.raises(UnsupportedMedia, match=r"3\.png has 9x6"):
        list(read_frames(list_frames(folder), 0, 3, pixels_max=PIXELS_MAX))


def test_frames_are_written_under_the_names_they_came_with(tmp_path):
    source = list_frames(fill(tmp_path / "in", ["f009.png", "f010.png"]))
    writer = FrameWriter(tmp_path / "out", source, kind="webp", quality=100)
    for picture in read_frames(source, 0, 2, pixels_max=PIXELS_MAX):
        writer.write(picture.with_pixels(np.repeat(picture.rgb, 4, 1), None))
    found = list_frames(tmp_path / "out")
    assert [path.name for path in found.paths] == ["f009.webp", "f010.webp"]
    frames = list(read_frames(found, 0, 2, pixels_max=PIXELS_MAX))
    assert frames[1].rgb.shape == (6, 32, 3)
    assert frames[1].rgb[0, 0].tolist() == [1, 0, 0]


def test_a_folder_that_holds_files_is_not_written_to(tmp_path):
    source = list_frames(fill(tmp_path / "in", ["1.png"]))
    with pytest.raises(InvalidOption):
        FrameWriter(tmp_path / "in", source)
