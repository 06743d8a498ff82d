"""Sheets and strips: what they show of clips whose detail and motion are known."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.made import panning, textured, write_video
from training.__main__ import main
from training.data.sequences import make_sequence
from training.scores.compare import PARTS, lengthen, psnr_over_time
from training.scores.pictures import (
    BAND,
    CROP,
    FRAME_WIDTH,
    GAP,
    STRIP_ROWS,
    crops,
    detailed_places,
    telling_column,
    time_strips,
)
from training.scores.report import crop_sheet


def flat(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_crops_lie_where_the_detail_is_and_apart() -> None:
    picture = flat(400, 640)
    picture[260:380, 470:620] = textured(120, 150, 0)
    picture[20:80, 30:110] = textured(60, 80, 1)
    (y, x), (second_y, second_x) = detailed_places(picture, 2)
    assert 380 - CROP[0] <= y <= 260
    assert 620 - CROP[1] <= x <= 470
    assert 80 - CROP[0] <= second_y <= 20
    assert 110 - CROP[1] <= second_x <= 30


def test_small_picture_has_one_crop_and_a_large_one_as_many_as_are_asked_for() -> None:
    assert detailed_places(textured(64, 80, 0), 3) == [(0, 0)]
    places = detailed_places(textured(400, 640, 0), 3)
    assert len(places) == 3
    for i, (y, x) in enumerate(places):
        assert all(abs(y - v) >= CROP[0] or abs(x - u) >= CROP[1] for v, u in places[:i])


def test_sheet_has_a_column_for_each_picture_cut_at_one_place() -> None:
    truth = textured(300, 400, 0)
    sheet = crops({"model": 255 - truth, "truth": truth}, 2)
    height, width = 2 * CROP[0], 2 * CROP[1]
    assert sheet.shape == (BAND + 2 * height + GAP, 2 * width + GAP, 3)
    model, shown = sheet[BAND:, :width], sheet[BAND:, width + GAP :]
    assert np.array_equal(model[:height], 255 - shown[:height])
    assert np.array_equal(model[height + GAP :], 255 - shown[height + GAP :])
    (y, x), *_ = detailed_places(truth, 1)
    assert np.array_equal(shown[:height:2, ::2], truth[y : y + CROP[0], x : x + CROP[1]])
    titles = sheet[:BAND, :width], sheet[:BAND, width + GAP :]
    assert all(title.max() == 255 for title in titles)
    assert not np.array_equal(*titles)


def test_column_of_a_strip_is_striped_and_stands_still() -> None:
    clip = np.stack([flat(240, 320)] * 6)
    clip[:, 40::8, 200] = 255  # still and striped
    clip[::2, 40::6, 100] = 255  # striped more closely, but it blinks
    clip[:, 40::8, 5] = 255  # still and striped, at the side
    clip[:, 39::8, 5] = 255
    clip[:, ::2, 20:60] = 255  # still and striped, but finer than any low frame can show
    rows, x = telling_column(clip)
    assert x == 200
    assert rows.stop - rows.start == STRIP_ROWS


def test_strip_shows_each_frame_beside_the_one_before() -> None:
    truth = np.stack([textured(200, 64, 0)] * 5)
    dark = truth.copy()
    dark[3] //= 2  # one frame flickers
    drawn = time_strips({"model": dark, "truth": truth})
    width = 5 * FRAME_WIDTH
    assert drawn.shape == (BAND + 2 * STRIP_ROWS, 2 * width + GAP, 3)
    model, shown = drawn[BAND:, :width], drawn[BAND:, width + GAP :]
    assert (shown == shown[:, :1]).all()  # nothing moves: lines
    stripe = slice(3 * FRAME_WIDTH, 4 * FRAME_WIDTH)
    assert np.array_equal(model[:, stripe], shown[:, stripe] // 2)
    assert np.array_equal(np.delete(model, stripe, axis=1), np.delete(shown, stripe, axis=1))


def test_lengthened_clip_turns_round_at_its_ends_without_repeating_them() -> None:
    frames = panning(3, 32, 32, 0)
    longer = lengthen(make_sequence("clip", frames, "bd"), 8, "bd")
    assert np.array_equal(longer.target, frames[[0, 1, 2, 1, 0, 1, 2, 1]])
    assert longer.low.shape == (8, 8, 8, 3)


def test_command_draws_each_clip_and_strips_only_of_what_moves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    write_video(data / "clip.mkv", panning(4, 64, 96, 0))
    cv2.imwrite(str(data / "picture.png"), textured(64, 96, 1))
    arguments = ["compare", "--data", str(data), "--out", str(out), "--models", "bicubic"]
    assert main([*arguments, "--frames", "1"]) == 2
    assert "frames is 1" in capsys.readouterr().err
    assert main([*arguments, "--frames", "6"]) == 0
    names = ["clip-crops.png", "clip-strips.png", "picture-crops.png", "psnr.md"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert capsys.readouterr().out.splitlines() == [str(out / name) for name in names]
    head, line, row = (out / "psnr.md").read_text().splitlines()
    assert row.startswith("| clip | bicubic | ")
    assert row.count("|") == head.count("|") == line.count("|") == 2 + PARTS + 1
    strips = cv2.imread(str(out / "clip-strips.png"))
    assert strips is not None
    assert strips.shape == (BAND + 2 * 64, 2 * 6 * FRAME_WIDTH + GAP, 3)
    picture = cv2.imread(str(out / "picture-crops.png"))
    truth = cv2.imread(str(data / "picture.png"))
    assert picture is not None
    assert np.array_equal(picture[BAND::2, 192 + GAP :: 2], truth)
    assert not np.array_equal(picture[BAND::2, :192:2], truth)


def test_table_shows_where_in_time_a_clip_gets_worse() -> None:
    truth = panning(16, 32, 48, 0)
    output = truth.copy()
    output[:8] ^= 1
    output[8:] ^= 4
    found = [float(value) for value in psnr_over_time(output, truth)]
    assert found == pytest.approx([52.9] * 4 + [40.9] * 4, abs=0.3)


def test_two_models_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), textured(64, 64, 1))
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--models", "bicubic", "bicubic"]
    assert main(["compare", *arguments]) == 2
    assert "one name" in capsys.readouterr().err


def test_sheet_of_clips_of_unequal_size_keeps_each_as_it_is() -> None:
    large, small = textured(200, 300, 0), textured(64, 80, 1)
    sheet = crop_sheet([("large", large, large, large), ("small", small, small, small)])
    assert sheet.shape == (2 * BAND + 2 * CROP[0] + 2 * 64, 3 * 2 * CROP[1] + 2 * GAP, 3)
    row = sheet[BAND + 2 * CROP[0] + BAND :]
    assert np.array_equal(row[::2, :160:2], small)
    assert row[:, 3 * 160 + 2 * GAP :].max() == 0
