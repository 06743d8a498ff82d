"""What was meant is what a reader finds: pixels, times, transparency, loops."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidOption, OutputInvalid
from tests.worker.media.animation.conftest import found_in, saved, truth
from worker.engine.reducing import enlarged_alpha
from worker.media.animation.gif import VISIBLE_MIN
from worker.media.animation.reading import decode, look_through, shown
from worker.media.animation.writing import assemble, check_output
from worker.media.types import Limits, Source, Timeline
from worker.media.writing.encode import PartEncoder
from worker.media.writing.encoding import Encoding

LIMITS = Limits(pixels_max=10_000, duration_s_max=3600)


def made(
    folder: Path, given: Path, kind: str, *, quality: int | None = None, left_out: int = 0
) -> tuple[Path, np.ndarray, Source, Timeline]:
    """The animation twice as large by repeated pixels: its file, what went into the parts, and the plan."""
    source, timeline = look_through(given, given.suffix[1:], limits=LIMITS, is_laid_on_white=False)
    lows = list(decode(given, source, 0, timeline.frame_count, is_laid_on_white=False))
    highs = np.stack(lows).repeat(2, axis=1).repeat(2, axis=2)
    size = source.width * 2, source.height * 2
    encoding = Encoding(codec="ffv1", width=size[0], height=size[1], colour=source.colour)
    parts = []
    for index, piece in enumerate(np.array_split(highs[: len(highs) - left_out], 2)):
        parts.append(folder / f"{index}.mkv")
        with PartEncoder(parts[-1], encoding) as encoder:
            for high in piece:
                encoder.write(high)
    out = folder / f"out.{kind}"
    assemble(
        parts,
        source_path=given,
        source=source,
        timeline=timeline,
        size=size,
        kind=kind,
        quality=quality,
        enlarge_alpha=enlarged_alpha,
        out=out,
    )
    return out, highs, source, timeline


@pytest.mark.parametrize("is_transparent", [True, False])
@pytest.mark.parametrize("kind", ["webp", "png"])
def test_what_can_be_kept_exactly_is(tmp_path: Path, kind: str, is_transparent: bool) -> None:
    given = saved(tmp_path / "in.webp", truth(is_transparent=is_transparent), duration=[33, 17, 41, 250, 70])
    out, highs, source, _ = made(tmp_path, given, kind, quality=100)
    canvases, delays, loop = found_in(out)
    assert (delays, loop) == ([33, 17, 41, 250, 70], 0)
    alphas = [enlarged_alpha(frame.alpha, (96, 64)) for frame in shown(given, source)]
    assert np.array_equal(canvases[..., 3], np.stack(alphas))
    seen = canvases[..., 3:] > 0
    assert np.array_equal(canvases[..., :3] * seen, highs * seen)
    assert seen.all() is np.bool_(not is_transparent)


@pytest.mark.parametrize("is_transparent", [True, False])
def test_a_gif_has_its_delays_holes_and_colours(tmp_path: Path, is_transparent: bool) -> None:
    given = saved(tmp_path / "in.gif", truth(is_transparent=is_transparent), loop=3, disposal=2)
    out, highs, source, _ = made(tmp_path, given, "gif")
    canvases, delays, loop = found_in(out)
    assert (delays, loop) == ([40, 100, 30, 250, 70], 3)
    alphas = np.stack([enlarged_alpha(frame.alpha, (96, 64)) for frame in shown(given, source)])
    assert np.array_equal(canvases[..., 3] > 0, alphas >= VISIBLE_MIN)
    seen = canvases[..., 3:] > 0
    assert np.abs(canvases[..., :3].astype(int) - highs)[seen.repeat(3, axis=3)].max() <= 2


def test_what_stands_still_in_a_gif_does_not_swarm(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    ground = np.asarray(
        Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).resize((48, 32), Image.Resampling.BICUBIC)
    )
    frames = []
    for index in range(5):
        frame = ground.copy()
        frame[4:8, 4 + 8 * index : 8 + 8 * index] = (255, 255, 255)
        frames.append(frame)
    given = saved(tmp_path / "in.webp", frames)
    canvases, _, _ = found_in(made(tmp_path, given, "gif")[0])
    assert len(np.unique(canvases[:, 20:].reshape(-1, 4), axis=0)) > 60
    assert (canvases[:, 20:] == canvases[0, 20:]).all()


def test_hundredths_of_a_second_do_not_drift(tmp_path: Path) -> None:
    given = saved(tmp_path / "in.webp", truth(), duration=[33] * 5)
    assert found_in(made(tmp_path, given, "gif")[0])[1] == [30, 40, 30, 30, 30]


def test_a_gif_that_is_shown_once_says_nothing_of_loops(tmp_path: Path) -> None:
    given = saved(tmp_path / "in.gif", truth(), loop=None)
    assert found_in(made(tmp_path, given, "gif")[0])[2] is None
    assert found_in(made(tmp_path, given, "webp")[0])[2] == 1


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_frame_that_shows_nothing_new_keeps_its_time(tmp_path: Path, kind: str) -> None:
    frames = truth(3, is_transparent=False)
    given = saved(tmp_path / "in.webp", frames, duration=[40, 40, 40])
    source, timeline = look_through(given, "webp", limits=LIMITS, is_laid_on_white=False)
    encoding = Encoding(codec="ffv1", width=96, height=64, colour=source.colour)
    with PartEncoder(tmp_path / "same.mkv", encoding) as encoder:
        for _ in frames:
            encoder.write(np.full((64, 96, 3), 77, np.uint8))
    out = tmp_path / f"out.{kind}"
    assemble(
        [tmp_path / "same.mkv"],
        source_path=given,
        source=source,
        timeline=timeline,
        size=(96, 64),
        kind=kind,
        quality=100,
        enlarge_alpha=enlarged_alpha,
        out=out,
    )
    canvases, delays, _ = found_in(out)
    assert delays == [40, 40, 40]
    assert (canvases[..., :3] == 77).all()


def test_parts_that_lack_a_frame_make_no_file(tmp_path: Path) -> None:
    given = saved(tmp_path / "in.gif", truth())
    with pytest.raises(OutputInvalid, match="hold 4 frames, the plan has 5"):
        made(tmp_path, given, "png", left_out=1)
    assert not list(tmp_path.glob("*out*"))


def test_a_picture_that_stays_for_minutes_does_so_within_what_the_format_can_count(tmp_path: Path) -> None:
    """APNG counts 65535 milliseconds; beyond that, hundredths of a second."""
    given = saved(tmp_path / "in.webp", truth(), duration=[33, 70_003, 40, 40, 40])
    out, *_ = made(tmp_path, given, "png")
    assert found_in(out)[1] == [30, 70_010, 40, 40, 40]


@pytest.mark.parametrize("before_ms", [25, 15, 4])
def test_the_longest_delay_of_a_gif_does_not_outgrow_it_by_rounding(tmp_path: Path, before_ms: int) -> None:
    """Halves that went to the even neighbour made 65536 hundredths of it, and a fault of ours."""
    given = saved(tmp_path / "in.webp", truth(), duration=[before_ms, 655_350, 40, 40, 40])
    delays = found_in(made(tmp_path, given, "gif")[0])[1]
    assert abs(sum(delays) - before_ms - 655_470) <= 10
    assert 655_330 <= delays[1] <= 655_350


def test_what_a_format_cannot_hold_is_said_before_the_work() -> None:
    source = Source(kind="animation", container="webp", pix_fmt="rgba", width=5000, height=10)
    timeline = Timeline(time_base=Fraction(1, 1000), times=(0, 700_000), duration=40, keys=())
    with pytest.raises(InvalidOption, match="16383 pixels a side, the result has 20000x40"):
        check_output("webp", source, timeline, 20_000, 40)
    with pytest.raises(InvalidOption, match=r"at most 655\.35 s, one stays for 700 s"):
        check_output("gif", source, timeline, 20_000, 40)
    brief = replace(timeline, times=(0, 100))
    assert "hundredths" in check_output("gif", source, brief, 20_000, 40)[0]
    assert "white" in check_output("mp4", source, timeline, 20_000, 40)[0]
    assert check_output("png", source, timeline, 20_000, 40) == ()


def test_opaque_stays_opaque() -> None:
    assert (enlarged_alpha(np.full((5, 7), 255, np.uint8), (28, 20)) == 255).all()
