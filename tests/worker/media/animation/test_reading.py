"""Frames as a viewer shows them, and when."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import Blend, Disposal

from service.errors import BrokenMedia, FrameTooLarge, TooLong
from tests.worker.media.animation.conftest import DELAYS_MS, saved, truth
from worker.media.animation.reading import NO_DELAY_MS, decode, look_through, shown
from worker.media.types import Limits, Source, Timeline

LIMITS = Limits(pixels_max=10_000, duration_s_max=60)


def look(path: Path, *, is_laid_on_white: bool = False, limits: Limits = LIMITS) -> tuple[Source, Timeline]:
    return look_through(path, path.suffix[1:], limits=limits, is_laid_on_white=is_laid_on_white)


def canvases(path: Path) -> np.ndarray:
    source, _ = look(path)
    return np.stack([np.dstack([frame.rgb, frame.alpha]) for frame in shown(path, source)])


def same(found: np.ndarray, meant: list[np.ndarray]) -> bool:
    """Equal wherever anything is seen."""
    wanted = np.stack(meant)
    seen = wanted[..., 3:] > 0
    return np.array_equal(found[..., 3], wanted[..., 3]) and np.array_equal(found * seen, wanted * seen)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.gif", {"disposal": 2}),
        ("a.webp", {}),
        ("clear.png", {"disposal": Disposal.OP_BACKGROUND}),
        ("back.png", {"disposal": Disposal.OP_PREVIOUS}),
        ("over.png", {"disposal": Disposal.OP_BACKGROUND, "blend": Blend.OP_OVER}),
    ],
)
def test_every_frame_is_what_a_viewer_shows(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    path = saved(tmp_path / name, truth(), **options)
    assert same(canvases(path), truth())


@pytest.mark.parametrize("disposal", [1, 2])
def test_an_opaque_gif_is_read_whole_whatever_it_leaves_behind(tmp_path: Path, disposal: int) -> None:
    frames = truth(is_transparent=False)
    path = saved(tmp_path / "a.gif", frames, disposal=disposal)
    assert np.abs(canvases(path).astype(int) - np.stack(frames)).max() <= 1


def test_a_gif_takes_back_what_it_says_it_will(tmp_path: Path) -> None:
    ground = np.full((32, 48, 4), (0, 0, 255, 255), np.uint8)
    one, both = ground.copy(), ground.copy()
    one[2:8, 2:8] = both[2:8, 2:8] = (255, 0, 0, 255)
    both[20:26, 30:36] = (0, 255, 0, 255)  # all that the writer draws of the third frame
    path = saved(tmp_path / "a.gif", [ground, one, both], disposal=[1, 3, 1], duration=40)
    other = both.copy()
    other[2:8, 2:8] = (0, 0, 255, 255)
    assert np.abs(canvases(path).astype(int) - np.stack([ground, one, other])).max() <= 1


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_times_are_those_of_the_file_to_the_millisecond(tmp_path: Path, suffix: str) -> None:
    source, timeline = look(saved(tmp_path / f"a.{suffix}", truth()))
    assert timeline.times == (0, 40, 140, 170, 420)
    assert timeline.duration == 70
    assert (source.kind, source.pix_fmt, source.plays) == ("animation", "rgba", 0)


@pytest.mark.parametrize(("loop", "plays"), [(None, 1), (0, 0), (1, 2), (4, 5)])
def test_a_gif_counts_the_times_after_the_first(tmp_path: Path, loop: int | None, plays: int) -> None:
    assert look(saved(tmp_path / "a.gif", truth(), loop=loop))[0].plays == plays


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_the_others_count_all_of_them(tmp_path: Path, suffix: str) -> None:
    assert look(saved(tmp_path / f"a.{suffix}", truth(), loop=3))[0].plays == 3


def test_fractions_of_a_millisecond_do_not_add_up(tmp_path: Path) -> None:
    _, timeline = look(saved(tmp_path / "a.png", truth(), duration=1000 / 30))
    assert timeline.times == (0, 33, 67, 100, 133)


def test_frames_without_a_delay_are_shown_as_players_show_them(tmp_path: Path) -> None:
    _, timeline = look(saved(tmp_path / "a.gif", truth(), duration=0))
    assert timeline.times == tuple(NO_DELAY_MS * index for index in range(5))
    assert "5 frames have no delay" in timeline.notices[0]


def test_the_picture_for_who_knows_no_animation_is_left_out(tmp_path: Path) -> None:
    frames = truth()
    path = saved(tmp_path / "a.png", [255 - frames[0], *frames], default_image=True)
    assert same(canvases(path), frames)


def test_a_frame_that_shows_the_same_repeats(tmp_path: Path) -> None:
    frames = truth(3)
    frames[0][0, 0] = frames[1][0, 0] = (9, 9, 9, 255)
    invisible = frames[1].copy()
    invisible[31, 47] = (200, 100, 50, 0)  # so that the writer does not make one frame of two
    path = saved(tmp_path / "a.webp", [frames[0], frames[1], invisible], duration=[40, 40, 40])
    assert look(path)[1].repeats == (2,)


def test_on_white_or_with_the_colours_around(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.webp", truth())
    source, _ = look(path)
    on_white = next(decode(path, source, 0, 1, is_laid_on_white=True))
    alone = next(decode(path, source, 0, 1, is_laid_on_white=False))
    assert on_white[0, 0].tolist() == [255, 255, 255]
    assert alone[0, 0].tolist() == [255, 0, 0]
    assert on_white[10, 6].tolist() == alone[10, 6].tolist() == [255, 0, 0]


def test_frames_in_the_middle_are_those_of_the_whole(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.gif", truth(), disposal=2)
    source, _ = look(path)
    whole = list(decode(path, source, 0, 5, is_laid_on_white=True))
    piece = list(decode(path, source, 2, 4, is_laid_on_white=True))
    assert np.array_equal(np.stack(whole[2:4]), np.stack(piece))
    with pytest.raises(BrokenMedia, match="frame 5 was there"):
        list(decode(path, source, 4, 6, is_laid_on_white=True))


def test_limits_hold_before_and_while_frames_are_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.gif", truth())
    with pytest.raises(FrameTooLarge, match="48x32"):
        look(path, limits=Limits(pixels_max=1000, duration_s_max=60))
    with pytest.raises(TooLong, match="0 s"):
        look(path, limits=Limits(pixels_max=10_000, duration_s_max=0.3))


def test_a_frame_beyond_the_canvas_costs_no_memory(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.gif", truth(), disposal=2)
    content = bytearray(path.read_bytes())
    last = content.rindex(b"\x21\xf9\x04") + 8
    assert content[last] == 0x2C
    content[last + 5 : last + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(BrokenMedia, match="frame 4 reaches beyond the canvas of 48x32"):
        look(path)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_a_cut_file_is_broken_or_shorter(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", truth())
    whole = path.read_bytes()
    for size in range(60, len(whole), 7):
        path.write_bytes(whole[:size])
        try:
            _, timeline = look(path)
        except BrokenMedia:
            continue
        assert timeline.frame_count <= len(DELAYS_MS)


def test_a_profile_is_named_when_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    frames = [Image.fromarray(frame) for frame in truth()]
    frames[0].save(path, save_all=True, append_images=frames[1:], icc_profile=b"x" * 200)
    assert "ICC" in look(path)[0].notices[0]
