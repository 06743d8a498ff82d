"""Timelines: every shown frame at its own time, the right places to seek to, and only what was asked for."""

import re
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import BrokenMedia, InvalidOption, TooLong
from tests.worker.media.clips import Sound, flat, make_clip, number_of, numbered
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.types import Key, Limits, Timeline

MILLISECOND = Fraction(1, 1000)


def scanned(path, limits, **wanted):
    source = probe(path, limits=limits)
    return source, scan(path, source, limits=limits, **wanted)


def numbers(path, source, timeline):
    return [number_of(frame) for frame in decode(path, source, timeline, 0, timeline.frame_count)]


def seconds(timeline):
    return [time * timeline.time_base for time in timeline.times]


def test_times_are_those_of_the_file_in_display_order(tmp_path, limits):
    path = make_clip(tmp_path / "c.mp4", 30, rate=Fraction(30000, 1001))
    _, timeline = scanned(path, limits)
    assert seconds(timeline) == [Fraction(1001 * index, 30000) for index in range(30)]
    assert timeline.duration * timeline.time_base == Fraction(1001, 30000)
    assert timeline.notices == ()


def test_variable_rate_keeps_every_gap(tmp_path, limits):
    times = [0, 33, 50, 51, 400, 401, 1000, 1016, 1033, 5000]
    path = make_clip(tmp_path / "c.mkv", len(times), times=times, time_base=MILLISECOND)
    source, timeline = scanned(path, limits)
    assert list(timeline.times) == times
    assert numbers(path, source, timeline) == list(range(len(times)))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(1, 3000), min_size=1, max_size=24), begin=st.integers(0, 5000))
def test_any_rising_times_are_kept(tmp_path, limits, gaps, begin):
    times = [begin]
    for gap in gaps:
        times.append(times[-1] + gap)
    path = make_clip(
        tmp_path / "c.mkv",
        numbered(len(times), 48, 32),
        width=48,
        height=32,
        times=times,
        time_base=MILLISECOND,
    )
    _, timeline = scanned(path, limits)
    assert list(timeline.times) == times


def test_a_late_start_stays_late(tmp_path, limits):
    path = make_clip(tmp_path / "c.mp4", 10, times=range(50, 60), sound=[Sound(seconds=3)])
    source, timeline = scanned(path, limits)
    assert seconds(timeline)[0] == 2
    assert source.start_s == 0


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path, limits):
    """The file starts in mid group by an edit list: a player shows 20 of its 30 frames, from the tenth on."""
    whole = make_clip(tmp_path / "whole.mp4", 30, options={"bf": "0", "g": "30"})
    path = tmp_path / "c.mp4"
    with av.open(str(whole)) as given_, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given_.streams.video[0])
        for packet in given_.demux(video=0):
            if packet.size:
                packet.pts -= 10 * 512
                packet.dts -= 10 * 512
                packet.stream = stream
                output.mux(packet)
    source, timeline = scanned(path, limits)
    assert timeline.frame_count == 20
    assert numbers(path, source, timeline) == list(range(10, 30))
    assert [number_of(f) for f in decode(path, source, timeline, 7, 9)] == [17, 18]


def test_keys_lead_to_their_own_frame_in_open_groups(tmp_path, limits):
    params = "keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0:open-gop=1"
    path = make_clip(tmp_path / "c.mp4", 40, options={"x264-params": params})
    _, timeline = scanned(path, limits)
    assert [key.frame_index for key in timeline.keys] == [0, 10, 20, 30]
    assert [timeline.times[key.frame_index] for key in timeline.keys] == [key.stamp for key in timeline.keys]


def test_avi_counts_its_frames(tmp_path, limits):
    options = {"g": "10", "bf": "2", "sc_threshold": "1000000000"}
    path = make_clip(tmp_path / "c.avi", 40, codec="mpeg4", options=options)
    _, timeline = scanned(path, limits)
    assert (timeline.clock, timeline.frame_count) == ("dts", 40)
    assert seconds(timeline) == [Fraction(index, 25) for index in range(40)]
    assert len(timeline.keys) > 3
    assert len(timeline.prints) == 40


def test_equal_times_are_moved_apart_with_a_notice(tmp_path, limits):
    whole = make_clip(tmp_path / "whole.mkv", 20, options={"bf": "0", "g": "5"}, time_base=MILLISECOND)
    path = tmp_path / "c.mkv"
    with av.open(str(whole)) as given_, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given_.streams.video[0])
        for packet in given_.demux(video=0):
            if packet.size:
                packet.pts = packet.dts = packet.pts // 3 * 3  # 0 0 0 3 3 3 6 ...
                packet.stream = stream
                output.mux(packet)
    source, timeline = scanned(path, limits)
    assert timeline.frame_count == 20
    assert all(before < after for before, after in pairwise(timeline.times))
    assert any("restored" in notice for notice in timeline.notices)
    assert numbers(path, source, timeline) == list(range(20))
    assert [number_of(f) for f in decode(path, source, timeline, 12, 14)] == [12, 13]


def test_cuts_are_found_where_scenes_change(tmp_path, limits):
    scenes = [
        numbered(count, seed=seed, first=first)
        for seed, count, first in [(1, 20, 0), (2, 14, 20), (3, 26, 34)]
    ]
    path = make_clip(tmp_path / "c.mp4", chain(*scenes))
    _, timeline = scanned(path, limits)
    assert timeline.cuts == (20, 34)


def test_a_timeline_survives_json(tmp_path, limits):
    path = make_clip(tmp_path / "c.avi", 30, codec="mpeg4", options={"g": "10"})
    _, timeline = scanned(path, limits)
    assert Timeline.from_json(timeline.to_json()) == timeline


def test_progress_is_told_for_each_frame(tmp_path, limits):
    told = []
    scanned(make_clip(tmp_path / "c.mp4", 12), limits, on_frame=told.append)
    assert told == list(range(1, 13))


TRIMMED = {
    "c.mp4": {
        "options": {"x264-params": "keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0:open-gop=1"}
    },
    "c.mkv": {"codec": "libx265", "options": {"x265-params": "keyint=10:min-keyint=10:open-gop=1"}},
    "c.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "5", "g": "10"}},
    "c.avi": {"codec": "mpeg4", "options": {"g": "10", "bf": "2"}},
}


SPANS = [
    (None, None, range(100)),
    (0, 0.4, range(10)),
    (0.36, 0.2, range(9, 14)),
    (1.0, None, range(25, 100)),
    (2.2, 1.0, range(55, 80)),
    (2.205, 0.04, range(56, 57)),
    (3.96, 10, range(99, 100)),
    (None, 1.5, range(38)),
]


@pytest.mark.parametrize("name", TRIMMED)
def test_a_span_gives_the_frames_shown_in_it(tmp_path, limits, name):
    path = make_clip(tmp_path / name, 100, **TRIMMED[name])
    for start_s, duration_s, wanted in SPANS:
        source, timeline = scanned(path, limits, start_s=start_s, duration_s=duration_s)
        assert timeline.frame_count == len(wanted)
        assert timeline.keys[0].frame_index <= 0
        assert numbers(path, source, timeline) == list(wanted)
        assert timeline.duration * timeline.time_base == Fraction(1, 25)
        middle = timeline.frame_count // 2
        (frame,) = decode(path, source, timeline, middle, middle + 1)
        assert number_of(frame) == wanted[middle]


def test_a_span_late_in_the_file_does_not_decode_what_comes_before(tmp_path, limits):
    told = []
    path = make_clip(tmp_path / "c.mp4", 300, options={"g": "10"})
    _, timeline = scanned(path, limits, start_s=10, duration_s=1, on_frame=told.append)
    assert timeline.frame_count == 25
    assert told[-1] <= 25 + 10 + 16


def test_a_span_counts_from_a_players_zero_and_not_from_the_first_frame(tmp_path, limits):
    path = make_clip(tmp_path / "c.mp4", 50, times=range(50, 100), sound=[Sound(seconds=4)])
    source, timeline = scanned(path, limits, start_s=2.4, duration_s=0.2)
    assert numbers(path, source, timeline) == [10, 11, 12, 13, 14]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"start_s": -1}, "start"),
        ({"duration_s": 0}, "duration"),
        ({"duration_s": -2}, "duration"),
        ({"start_s": 4}, "start"),
        ({"start_s": 500, "duration_s": 1}, "start"),
    ],
)
@pytest.mark.parametrize("name", ["c.mp4", "c.avi"])
def test_a_span_without_frames_is_refused(tmp_path, limits, wanted, field, name):
    path = make_clip(tmp_path / name, 50, codec="mpeg4")
    with pytest.raises(InvalidOption) as caught:
        scanned(path, limits, **wanted)
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["c.mkv", "c.avi"])
def test_a_damaged_tail_is_dropped_with_a_notice(tmp_path, limits, name):
    path = make_clip(tmp_path / name, 100, codec="mpeg4", options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source, timeline = scanned(path, limits)
    assert 30 < timeline.frame_count < 80
    assert any("cut short" in notice for notice in timeline.notices)
    intact = timeline.frame_count - 1  # the last packet is half there
    assert numbers(path, source, timeline)[:intact] == list(range(intact))


@pytest.mark.parametrize("sound", [(), (Sound(seconds=3.0),)], ids=["alone", "with sound"])
@pytest.mark.parametrize("name", ["c.mkv", "c.mp4"])
def test_a_video_that_starts_late_is_not_cut_short(tmp_path, limits, name, sound):
    """Matroska counts its duration from zero, wherever the first frame is."""
    times = [2000 + 40 * index for index in range(24)]
    path = make_clip(
        tmp_path / name, 24, codec="mpeg4", times=times, time_base=Fraction(1, 1000), sound=sound
    )
    _, timeline = scanned(path, limits)
    assert timeline.notices == ()


def test_damage_in_the_middle_leaves_the_rest_in_its_place(tmp_path, limits):
    path = make_clip(tmp_path / "c.mkv", 60, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        payloads = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes().replace(payloads[30], bytes(len(payloads[30]))))
    source, timeline = scanned(path, limits)
    assert numbers(path, source, timeline) == [*range(30), *range(31, 60)]
    assert [time // 40 for time in timeline.times] == [*range(30), *range(31, 60)]
    assert any("damaged" in notice for notice in timeline.notices)
    assert [number_of(f) for f in decode(path, source, timeline, 28, 32)] == [28, 29, 31, 32]


def test_a_frame_that_the_decoder_had_to_patch_is_noted(tmp_path, limits):
    path = make_clip(tmp_path / "c.mkv", 30, options={"bf": "0"})
    with av.open(str(path)) as container:
        payload = max((bytes(p) for p in list(container.demux(video=0))[1:] if p.size), key=len)
    half = len(payload) // 2
    path.write_bytes(path.read_bytes().replace(payload, payload[:half] + bytes(len(payload) - half)))
    _, timeline = scanned(path, limits)
    assert timeline.frame_count == 30
    assert any("as far as they decode" in notice for notice in timeline.notices)


def test_a_damaged_avi_is_counted_from_its_beginning(tmp_path, limits):
    """What a decoder makes of damage differs from run to run: no key and no fingerprint can be trusted."""
    path = make_clip(tmp_path / "c.avi", 60, codec="mpeg4", options={"g": "10"})
    with av.open(str(path)) as container:
        payloads = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    half = len(payloads[25]) // 2
    data = path.read_bytes().replace(payloads[25], payloads[25][:half] + bytes(len(payloads[25]) - half))
    path.write_bytes(data.replace(payloads[33], bytes(len(payloads[33]))))
    source, timeline = scanned(path, limits)
    assert timeline.frame_count == 59
    assert len(timeline.keys) == 1
    assert [number_of(f) for f in decode(path, source, timeline, 45, 59)] == list(range(46, 60))


def test_nothing_but_damage_is_broken(tmp_path, limits):
    path = make_clip(tmp_path / "c.mkv", 20, codec="ffv1")
    source = probe(path, limits=limits)
    with av.open(str(path)) as container:
        payloads = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for payload in payloads:
        data = data.replace(payload, bytes(len(payload)))
    path.write_bytes(data)
    with pytest.raises(BrokenMedia):
        scan(path, source, limits=limits)


def test_a_video_longer_than_its_header_admits_is_refused(tmp_path, limits):
    path = make_clip(tmp_path / "c.mkv", 100, container_options={"live": "1"})
    source = probe(path, limits=limits)
    assert source.duration_s is None
    with pytest.raises(TooLong) as caught:
        scan(path, source, limits=Limits(pixels_max=limits.pixels_max, duration_s_max=2))
    assert caught.value.field == "duration"


def test_memory_holds_neither_the_frames_of_a_scan_nor_those_of_decoding(tmp_path, limits):
    count, width, height = 300, 640, 360  # 100 MB as YUV, 200 MB as RGB
    frames = (flat((index % 200, 90, 60), width, height) for index in range(count))
    path = make_clip(tmp_path / "c.mp4", frames, width=width, height=height, options={"preset": "ultrafast"})
    source = probe(path, limits=limits)
    peak_before = peak_bytes(reset=True)
    timeline = scan(path, source, limits=limits)
    for frame in decode(path, source, timeline, 0, count):
        assert frame.shape == (height, width, 3)
    assert peak_bytes() - peak_before < 50_000_000


def peak_bytes(*, reset=False):
    """The most memory this process has had since the last reset; the native parts count too."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


def test_the_first_key_reaches_frame_nought_even_without_a_key_frame(tmp_path, limits):
    path = make_clip(tmp_path / "c.mkv", 30, options={"g": "10", "bf": "0"})
    cut = tmp_path / "cut.mkv"
    with av.open(str(path)) as given_, av.open(str(cut), "w") as output:
        stream = output.add_stream_from_template(given_.streams.video[0])
        for packet in list(given_.demux(video=0))[3:]:  # starts in the middle of a group
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    source, timeline = scanned(cut, limits)
    assert timeline.keys[0].frame_index == 0
    shown = numbers(cut, source, timeline)
    assert shown[-20:] == list(range(10, 30))
    assert isinstance(timeline.keys[0], Key)
