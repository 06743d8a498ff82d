"""Reading in a process of its own gives what reading here gives, frames and errors."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from service.errors import BrokenMedia, FrameTooLarge, InputError, NoVideo, TooLong
from tests.worker.media.clips import Sound, flat, make_clip, make_sound_alone
from tests.worker.media.reading.test_fields import HEIGHT, WIDTH, interlaced
from worker.media.reading import decode as decode_here
from worker.media.reading.probe import probe as probe_here
from worker.media.reading.timeline import scan as scan_here
from worker.media.sandbox import parent, reading
from worker.media.sandbox.judging import source_of
from worker.media.sandbox.keeper import Keeper
from worker.media.sandbox.reading import decode, probe, scan

FRAMES = 30
CLIPS = {
    "h264.mp4": {"options": {"x264-params": "keyint=10:bframes=3:open-gop=1"}, "sound": [Sound()]},
    "variable.mkv": {"times": [index * 3 + index % 3 for index in range(FRAMES)], "tags": {"title": "x"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "10", "bf": "2"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "5"}},
    "chapters.mov": {"chapters": [(0, 0.5, "one"), (0.5, 1, "two")], "rotation": 90},
    "ten-bits.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p10le"},
    "cut.mp4": {"frames": [flat((200, 0, 0))] * 15 + [flat((0, 0, 200))] * 15},
}


@pytest.fixture(scope="module", params=CLIPS)
def clip(request, tmp_path_factory):
    given = {"frames": FRAMES} | CLIPS[request.param]
    return make_clip(tmp_path_factory.mktemp("clips") / request.param, **given)


def test_source_timeline_and_frames_are_those_of_the_one_reader(clip, limits):
    source = probe(clip, limits=limits)
    assert source == probe_here(clip, limits=limits)
    counts = []
    timeline = scan(clip, source, limits=limits, on_frame=counts.append)
    assert timeline == scan_here(clip, source, limits=limits)
    assert counts[-1] == FRAMES
    for start, stop in ((0, FRAMES), (7, 12), (FRAMES - 1, FRAMES)):
        with closing(decode_here.decode(clip, source, timeline, start, stop)) as wanted:
            for frame, expected in zip(decode(clip, source, timeline, start, stop), wanted, strict=True):
                assert np.array_equal(frame, expected)
                frame[:] = 0  # the caller's own


def test_piece_is_scanned_as_here(clip, limits):
    source = probe(clip, limits=limits)
    span = {"start_s": 0.4, "duration_s": 0.4}
    assert scan(clip, source, limits=limits, **span) == scan_here(clip, source, limits=limits, **span)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG but nothing", b"\0\0\0\x18ftypmp42", b"words", b"RIFF1234AVI "]
)
def test_refusal_is_the_one_of_the_reader(tmp_path, limits, content):
    path = tmp_path / "input"
    path.write_bytes(content)

    def refusal(of):
        try:
            return of(path, limits=limits)
        except InputError as error:
            return type(error), str(error), error.field, error.value

    assert refusal(probe) == refusal(probe_here)


def test_refusals_keep_their_types(tmp_path, limits):
    clip = make_clip(tmp_path / "clip.mp4", 30)
    with pytest.raises(FrameTooLarge) as refused:
        probe(clip, limits=replace(limits, pixels_max=100))
    assert refused.value.value == "96x64"
    with pytest.raises(TooLong):
        probe(clip, limits=replace(limits, duration_s_max=0.5))
    with pytest.raises(NoVideo):
        probe(make_sound_alone(tmp_path / "sound.webm"), limits=limits)


def test_file_that_is_not_there_is_no_damage(tmp_path, limits):
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "nothing", limits=limits)


def test_other_frames_than_were_planned_are_damage(tmp_path, limits):
    clip = make_clip(tmp_path / "clip.mp4", 20)
    source = probe(clip, limits=limits)
    timeline = scan(clip, source, limits=limits)
    make_clip(clip, 5)
    with pytest.raises(BrokenMedia):
        list(decode(clip, source, timeline, 0, 20))


def test_what_a_count_raises_ends_the_scan(tmp_path, limits):
    clip = make_clip(tmp_path / "clip.mp4", 30)

    def refuse(count):
        raise TooLong(f"{count} frames")

    with pytest.raises(TooLong):
        scan(clip, probe(clip, limits=limits), limits=limits, on_frame=refuse)


@pytest.mark.parametrize("task", ["no_result", "endless_number", "environment", "no_message"])
def test_source_that_a_reader_made_up_is_refused(tmp_path, limits, task):
    keeper = Keeper("tests.worker.media.sandbox.misbehaving")
    path = tmp_path / "input"
    path.write_bytes(b"x")
    try:
        with parent.reading(task, path, {}, pixels=1, keeper=keeper) as reader, pytest.raises(BrokenMedia):
            source_of(reader.result(), limits)
    finally:
        keeper.stop()


def test_more_frames_than_were_wanted_are_refused(tmp_path, limits):
    keeper = Keeper("tests.worker.media.sandbox.misbehaving")
    clip = make_clip(tmp_path / "clip.mp4", 3)
    try:
        with pytest.raises(BrokenMedia):
            list(reading._frames("too_many_frames", clip, {}, (64, 96, 3), 3, keeper=keeper))
    finally:
        keeper.stop()


def test_piece_of_a_timeline_gives_the_frames_that_the_whole_does(clip, limits):
    source = probe_here(clip, limits=limits)
    timeline = scan_here(clip, source, limits=limits)
    for start, stop in ((0, 1), (9, 11), (21, 30), (29, 30)):
        piece, first = reading._piece(timeline, start, stop)
        assert piece.times == timeline.times[first:stop]
        wanted = list(decode_here.decode(clip, source, timeline, start, stop))
        found = list(decode_here.decode(clip, source, piece, start - first, stop - first))
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("mode", ["auto", "fields"])
def test_deinterlaced_frames_are_those_of_the_one_reader_from_any_place(tmp_path, limits, mode):
    path = tmp_path / "clip.mp4"
    make_clip(path, interlaced(FRAMES), width=WIDTH, height=HEIGHT, options={"g": "7", "bf": "2"})
    source = probe_here(path, limits=limits)
    timeline = scan(path, source, limits=limits, deinterlace=mode)
    assert timeline == scan_here(path, source, limits=limits, deinterlace=mode)
    assert timeline.deinterlacing is not None
    count = timeline.frame_count
    whole = np.stack(list(decode_here.decode(path, source, timeline, 0, count)))
    for start, stop in ((0, 1), (7, 12), (13, 14), (count // 2, count), (count - 1, count)):
        assert np.array_equal(list(decode(path, source, timeline, start, stop)), whole[start:stop])
