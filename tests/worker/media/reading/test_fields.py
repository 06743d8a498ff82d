"""Fields: who is judged to be interlaced, and frames that are the same from wherever decoding begins."""

import random
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.worker.media.clips import make_clip, number_of, numbered, stamp
from tests.worker.media.enlarged import enlarge, shown_s
from worker.media.checking.verify import verify
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.types import Timeline

COUNT, WIDTH, HEIGHT = 30, 160, 128
SPEED = 3  # pixels from one moment to the next
FLAGGED = {"options": {"x264-params": "tff=1"}, "interlaced": True}


def moments(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """A textured scene, grey and soft, that moves to the left."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(30, 226, (HEIGHT // 6 + 1, (WIDTH + count * SPEED) // 6 + 1)).astype(np.uint8)
    scene = cv2.GaussianBlur(np.kron(cells, np.ones((6, 6), np.uint8)), (0, 0), 1.5)[..., None].repeat(3, 2)
    return [scene[:HEIGHT, at * SPEED : at * SPEED + WIDTH] for at in range(count)]


def woven(first: np.ndarray, second: np.ndarray, *, top: int = 0) -> np.ndarray:
    """Two moments in one picture; `top` is 0 where the first one has the upper field."""
    picture = first.copy()
    picture[1 - top :: 2] = second[1 - top :: 2]
    return picture


def interlaced(count: int = COUNT, *, top: int = 0, seed: int = 0) -> list[np.ndarray]:
    pairs = iter(moments(2 * count, seed=seed))
    return [woven(first, second, top=top) for first, second in zip(pairs, pairs, strict=True)]


def telecined(count: int = COUNT) -> list[np.ndarray]:
    """Four frames of film in five pictures, as two, three, two and three fields."""
    film = moments(count)
    pictures: list[np.ndarray] = []
    for at in range(0, count - 3, 4):
        a, b, c, d = film[at : at + 4]
        pictures += [a, b, woven(b, c), woven(c, d), d]
    return pictures


def striped(count: int = COUNT, *, thick: int = 1, rise: int = 0, run: int = 0) -> list[np.ndarray]:
    """Fine horizontal stripes, the lines of a comb: bright ones textured, moving by so much a picture."""
    rng = np.random.default_rng(5)
    tall, wide = HEIGHT + count * rise, WIDTH + count * run
    scene = rng.integers(120, 236, (tall, wide, 1)).astype(np.uint8).repeat(3, 2)
    scene[np.arange(tall) // thick % 2 == 1] = 30
    return [scene[at * rise : at * rise + HEIGHT, at * run : at * run + WIDTH] for at in range(count)]


def noisy(count: int = COUNT) -> list[np.ndarray]:
    rng = np.random.default_rng(6)
    still = moments(1)[0].astype(int)
    return [np.clip(still + rng.normal(0, 12, still.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def clip(path, pictures: Iterable[np.ndarray], **settings):
    return make_clip(path, list(pictures), width=WIDTH, height=HEIGHT, **settings)


def scanned(path, limits, **wanted) -> tuple:
    source = probe(path, limits=limits)
    return source, scan(path, source, limits=limits, **wanted)


def said(timeline: Timeline) -> str:
    return " / ".join(timeline.notices)


WOVEN = {
    "top first": (interlaced(), {}, "tff"),
    "top first and flagged": (interlaced(), FLAGGED, "tff"),
    "bottom first": (interlaced(top=1), {}, "bff"),
    "bottom first though flagged as top first": (interlaced(top=1), FLAGGED, "bff"),
    "telecined": (telecined(), {}, "tff"),
    "strongly compressed": (interlaced(), {"options": {"crf": "32"}}, "tff"),
    "a third of it": (interlaced(10) + moments(20, seed=1), {}, "tff"),
    "but its first seconds": (moments(15, seed=1) + interlaced(15), FLAGGED, "tff"),
}
WHOLE = {
    "progressive": (moments(COUNT), {}),
    "progressive and flagged": (moments(COUNT), FLAGGED),
    "still": (moments(1) * COUNT, FLAGGED),
    "stripes": (striped(), {}),
    "stripes and flagged": (striped(), FLAGGED),
    "stripes that rise by a line": (striped(rise=1), FLAGGED),
    "stripes that rise by three lines": (striped(rise=3), FLAGGED),
    "thicker stripes that rise": (striped(thick=2, rise=1), FLAGGED),
    "stripes that run": (striped(run=3), FLAGGED),
    "stripes that run and rise": (striped(run=3, rise=2), FLAGGED),
    "noise": (noisy(), FLAGGED),
    "many shots": ([frame for seed in range(10) for frame in moments(3, seed=seed)], FLAGGED),
}


@pytest.mark.parametrize("case", WOVEN)
def test_woven_pictures_are_found_whatever_the_flags_say(tmp_path, limits, case):
    pictures, settings, parity = WOVEN[case]
    _, timeline = scanned(clip(tmp_path / "c.mkv", pictures, **settings), limits)
    assert timeline.deinterlacing is not None, said(timeline)
    assert timeline.deinterlacing.parity == parity
    assert "interlaced: each pair" in said(timeline)
    assert ("telecined" in said(timeline)) == (case == "telecined")


@pytest.mark.parametrize("case", WHOLE)
def test_whole_pictures_are_left_alone_whatever_the_flags_say(tmp_path, limits, case):
    pictures, settings = WHOLE[case]
    _, timeline = scanned(clip(tmp_path / "c.mkv", pictures, **settings), limits)
    assert timeline.deinterlacing is None, said(timeline)


def combing(frame: np.ndarray) -> float:
    """How much more two neighbouring lines differ than two that are one apart."""
    grey = frame[8:-8].astype(int).mean(2)
    return float(np.abs(np.diff(grey, axis=0)).mean() / np.abs(grey[2:] - grey[:-2]).mean())


def test_a_frame_of_two_fields_is_the_first_moment_without_its_comb(tmp_path, limits):
    path = clip(tmp_path / "c.mkv", interlaced(), codec="ffv1")
    source, timeline = scanned(path, limits)
    _, left = scanned(path, limits, deinterlace="off")
    assert timeline.times == left.times
    assert "as it is woven" in said(left)
    made = list(decode(path, source, timeline, 0, COUNT))
    before = list(decode(path, source, left, 0, COUNT))
    assert np.mean([combing(frame) for frame in before]) > 1.1
    assert np.mean([combing(frame) for frame in made]) < 0.8
    truth = np.stack(moments(2 * COUNT)[::2]).astype(int)
    errors = [np.abs(np.stack(frames)[1:-1] - truth[1:-1]).mean() for frames in (before, made)]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("top", [0, 1])
def test_a_frame_of_each_field_shows_every_moment_in_order(tmp_path, limits, top):
    path = clip(tmp_path / "c.mkv", interlaced(top=top), codec="ffv1")
    source, timeline = scanned(path, limits, deinterlace="fields")
    assert (timeline.frame_count, timeline.picture_count) == (2 * COUNT, COUNT)
    made = np.stack(list(decode(path, source, timeline, 0, 2 * COUNT))).astype(int)
    truth = np.stack(moments(2 * COUNT)).astype(int)
    for at in range(2, 2 * COUNT - 2):
        apart = [np.abs(made[at] - truth[at + by]).mean() for by in (-1, 0, 1)]
        assert apart[1] < min(apart[0], apart[2]) / 2, at


def test_fields_are_shown_half_way_between_the_pictures_at_any_rate(tmp_path, limits):
    times = [0, 40, 81, 120, 160, 200, 280, 321, 360, 400]
    path = clip(tmp_path / "c.mkv", interlaced(10), times=times, time_base=Fraction(1, 1000))
    _, pictures = scanned(path, limits, deinterlace="off")
    _, timeline = scanned(path, limits, deinterlace="fields")
    shown = [time * timeline.time_base for time in timeline.times]
    ends = [*times[1:], times[-1] + pictures.duration]
    assert shown[::2] == [Fraction(time, 1000) for time in times]
    assert shown[1::2] == [Fraction(a + b, 2000) for a, b in zip(times, ends, strict=True)]
    assert shown[-1] + timeline.duration * timeline.time_base == Fraction(ends[-1], 1000)


GROUPS = {
    "open.mp4": {"options": {"x264-params": "keyint=7:min-keyint=7:scenecut=0:bframes=3:open-gop=1"}},
    "flagged.mkv": {"options": {"x264-params": "keyint=7:scenecut=0:bframes=3:tff=1"}, "interlaced": True},
    "counted.avi": {"codec": "mpeg4", "options": {"g": "7", "bf": "2", "sc_threshold": "1000000000"}},
    "four-two-two.mkv": {"codec": "ffv1", "pix_fmt": "yuv422p10le"},
    "packed.avi": {"codec": "rawvideo", "pix_fmt": "yuyv422"},
    "rgb.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
}


@pytest.mark.parametrize("mode", ["auto", "fields"])
@pytest.mark.parametrize("name", GROUPS)
def test_any_piece_equals_that_piece_of_the_whole(tmp_path, limits, name, mode):
    pictures = interlaced(20) + interlaced(15, seed=1)
    path = clip(tmp_path / name, pictures, **GROUPS[name])
    source, timeline = scanned(path, limits, deinterlace=mode)
    count = timeline.frame_count
    assert count == 35 * (2 if mode == "fields" else 1)
    whole = np.stack(list(decode(path, source, timeline, 0, count)))
    bounds = random.Random(name + mode)
    pieces = [sorted(bounds.sample(range(count + 1), 2)) for _ in range(25)]
    for start, stop in [(0, 1), (count - 1, count), (1, 2), *pieces]:
        piece = np.stack(list(decode(path, source, timeline, start, stop)))
        assert np.array_equal(piece, whole[start:stop]), (start, stop)


def test_a_chosen_span_begins_and_ends_as_it_would_alone(tmp_path, limits):
    path = clip(tmp_path / "c.mp4", interlaced(40), options={"g": "9"})
    source, timeline = scanned(path, limits, deinterlace="fields", start_s=0.5, duration_s=0.4)
    assert timeline.frame_count == 20
    whole = np.stack(list(decode(path, source, timeline, 0, 20)))
    for start, stop in [(0, 3), (7, 12), (19, 20)]:
        assert np.array_equal(np.stack(list(decode(path, source, timeline, start, stop))), whole[start:stop])


@pytest.mark.parametrize("mode", ["auto", "fields"])
def test_cuts_and_repeats_are_those_of_the_frames_that_are_made(tmp_path, limits, mode):
    pictures = interlaced(12) + [interlaced(12)[-1]] * 8 + interlaced(12, seed=1)
    source, timeline = scanned(clip(tmp_path / "c.mkv", pictures, codec="ffv1"), limits, deinterlace=mode)
    per = timeline.deinterlacing.frames_per_picture
    assert timeline.cuts == (20 * per,)
    made = list(decode(tmp_path / "c.mkv", source, timeline, 0, timeline.frame_count))
    equal = tuple(at + 1 for at, (a, b) in enumerate(pairwise(made)) if np.array_equal(a, b))
    assert timeline.repeats == equal
    assert len(equal) >= 5


def test_frames_keep_the_numbers_of_their_pictures(tmp_path, limits):
    path = make_clip(tmp_path / "c.mp4", numbered(40), options={"bf": "3", "g": "8"})
    source, timeline = scanned(path, limits)
    assert timeline.deinterlacing is None
    woven_path = clip(tmp_path / "w.mp4", [stamp(p, n) for n, p in enumerate(interlaced(40))])
    source, timeline = scanned(woven_path, limits)
    assert timeline.deinterlacing is not None
    assert [number_of(f) for f in decode(woven_path, source, timeline, 0, 40)] == list(range(40))


@pytest.mark.parametrize("mode", ["auto", "fields"])
def test_a_deinterlaced_result_conforms_to_its_input(tmp_path, mode):
    path = clip(tmp_path / "c.mp4", interlaced(), rate=Fraction(30_000, 1001))
    result = enlarge(path, deinterlace=mode)
    assert shown_s(result.path) == result.wanted_s
    report = verify(path, result.path, scale=2)
    assert report["problems"] == []
    assert (report["frames_in"], report["frames_out"]) == (COUNT, COUNT * (2 if mode == "fields" else 1))


def test_what_has_no_fields_is_told_when_they_are_asked_for(tmp_path, limits):
    _, timeline = scanned(clip(tmp_path / "c.mkv", moments(COUNT)), limits, deinterlace="fields")
    assert timeline.deinterlacing is None
    assert timeline.frame_count == COUNT
    assert "not interlaced" in said(timeline)


def test_a_timeline_of_fields_survives_json(tmp_path, limits):
    _, timeline = scanned(clip(tmp_path / "c.mkv", interlaced()), limits, deinterlace="fields")
    assert Timeline.from_json(timeline.to_json()) == timeline
    former = timeline.to_json()
    del former["deinterlacing"]
    assert Timeline.from_json(former) == replace(timeline, deinterlacing=None)


@pytest.mark.parametrize(("width", "height"), [(16, 16), (8, 200), (2, 2), (64, 8), (16, 120), (30, 1200)])
def test_any_size_is_judged(tmp_path, limits, width, height):
    frames = [frame[:height, :width] for frame in numbered(5, max(width, 64), max(height, 64))]
    path = make_clip(tmp_path / "c.mkv", frames, width=width, height=height, codec="ffv1")
    _, timeline = scanned(path, limits)
    assert timeline.frame_count == 5
