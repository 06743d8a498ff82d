"""Decoding: exactly the frames asked for, from any place, for the cost of one group of pictures at most."""

from contextlib import closing
from dataclasses import replace

import av
import numpy as np
import pytest

from service.errors import BrokenMedia, UnsupportedMedia
from tests.worker.media.clips import make_clip, number_of, numbered
from worker.media.reading import decode as decode_module
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan

FRAMES = 60
GOP = 12
REORDER_MAX = 4

X264 = f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=3:b-adapt=0"
X265 = f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=3:b-adapt=0"
CLIPS = {
    "h264-closed.mp4": {"options": {"x264-params": X264}},
    "h264-open.mp4": {"options": {"x264-params": X264 + ":open-gop=1"}},
    "h264-open.mov": {"options": {"x264-params": X264 + ":open-gop=1"}},
    "h264-open.mkv": {"options": {"x264-params": X264 + ":open-gop=1"}},
    "h264-open.avi": {"options": {"x264-params": X264 + ":open-gop=1"}},
    "h264-pyramid.avi": {"options": {"x264-params": X264 + ":b-pyramid=strict"}},
    "h264-fragmented.mp4": {
        "options": {"x264-params": X264},
        "container_options": {"movflags": "frag_keyframe+empty_moov"},
    },
    "h264-without-index.mkv": {"options": {"x264-params": X264}, "container_options": {"live": "1"}},
    "h264-variable.mkv": {
        "options": {"x264-params": X264 + ":open-gop=1"},
        "times": [index * 3 + index % 3 for index in range(FRAMES)],
    },
    "hevc-closed.mkv": {"codec": "libx265", "options": {"x265-params": X265 + ":open-gop=0"}},
    "hevc-open.mp4": {"codec": "libx265", "options": {"x265-params": X265 + ":open-gop=1"}},
    "hevc-open.mkv": {"codec": "libx265", "options": {"x265-params": X265 + ":open-gop=1"}},
    "vp9.webm": {
        "codec": "libvpx-vp9",
        "options": {"deadline": "realtime", "cpu-used": "5", "g": str(GOP), "lag-in-frames": "8"},
    },
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "10", "svtav1-params": f"keyint={GOP}"}},
    "av1.mkv": {"codec": "libsvtav1", "options": {"preset": "10", "svtav1-params": f"keyint={GOP}"}},
    "mpeg4-closed.avi": {"codec": "mpeg4", "options": {"g": str(GOP), "sc_threshold": "1000000000"}},
    "mpeg4-open.avi": {"codec": "mpeg4", "options": {"g": str(GOP), "bf": "2", "sc_threshold": "1000000000"}},
    "mpeg4-open.mkv": {"codec": "mpeg4", "options": {"g": str(GOP), "bf": "2", "sc_threshold": "1000000000"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"q:v": "3"}},
    "ffv1.mkv": {"codec": "ffv1"},
}


@pytest.fixture(scope="module", params=CLIPS)
def clip(request, tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / request.param, FRAMES, **CLIPS[request.param])


@pytest.fixture
def shown(monkeypatch):
    """Counts the frames that the codec hands out, wanted or not."""
    counts = []
    pictures = decode_module.pictures

    def counting(*args):
        counts.append(0)
        for picture in pictures(*args):
            counts[-1] += 1
            yield picture

    monkeypatch.setattr(decode_module, "pictures", counting)
    return counts


def reorder_depth(path):
    with av.open(str(path)) as container:
        list(container.decode(video=0))
        return container.streams.video[0].codec_context.reorder_depth


def test_any_range_gives_those_frames_for_at_most_a_group_more(clip, limits, shown):
    source = probe(clip, limits=limits)
    timeline = scan(clip, source, limits=limits)
    assert timeline.frame_count == FRAMES
    gop = max(
        b.frame_index - a.frame_index
        for a, b in zip(
            timeline.keys, [*timeline.keys[1:], replace(timeline.keys[0], frame_index=FRAMES)], strict=True
        )
    )
    assert gop <= GOP + REORDER_MAX
    assert reorder_depth(clip) <= REORDER_MAX
    whole = list(decode(clip, source, timeline, 0, FRAMES))
    assert [number_of(frame) for frame in whole] == list(range(FRAMES))
    for start, stop in [(0, 1), (11, 13), (12, 24), (13, 14), (23, 40), (35, 37), (47, 60), (59, 60)]:
        part = list(decode(clip, source, timeline, start, stop))
        assert len(part) == stop - start
        assert np.array_equal(part, whole[start:stop]), (start, stop)
        assert shown[-1] <= (stop - start) + gop + REORDER_MAX, (start, stop)


def test_every_single_frame_can_be_reached_through_the_open_groups(tmp_path, limits):
    path = make_clip(tmp_path / "c.mp4", FRAMES, **CLIPS["h264-open.mp4"])
    source = probe(path, limits=limits)
    timeline = scan(path, source, limits=limits)
    assert len(timeline.keys) == FRAMES // GOP
    for index in range(FRAMES):
        (frame,) = decode(path, source, timeline, index, index + 1)
        assert number_of(frame) == index


DIVX_PACKED = b"\x00\x00\x01\xb2DivX503b1393p"  # what tells a decoder to look for a second frame


def packed(path, plain, marks_max=None):
    """Pack B-frames as DivX did: a P-frame and the B-frame shown before it share a packet, a stub follows.

    `plain` has one B-frame between each two others; AVI then has no packet that could be shown out of order.
    """
    stub = bytes.fromhex("000001b6") + bytes([0b01_0_10101, 0b0101_0111])  # a P-VOP that is not coded
    with av.open(str(plain)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        payloads = [bytes(packet) for packet in given.demux(video=0) if packet.size]
        marked = [index for index in range(len(payloads)) if packet_is_key(payloads[index])][:marks_max]
        for index in marked:
            vop = payloads[index].index(b"\x00\x00\x01\xb6")
            payloads[index] = payloads[index][:vop] + DIVX_PACKED + payloads[index][vop:]
        keys = [packet_is_key(payload) for payload in payloads]
        slots = []
        index = 0
        while index < len(payloads):
            is_b = index + 1 < len(payloads) and vop_type(payloads[index + 1]) == 2
            if is_b:
                slots += [(payloads[index] + payloads[index + 1], keys[index]), (stub, False)]
                index += 2
            else:
                slots.append((payloads[index], keys[index]))
                index += 1
        for place, (payload, is_key) in enumerate(slots):
            packet = av.Packet(payload)
            packet.stream, packet.time_base = stream, stream.time_base
            packet.pts = packet.dts = place
            packet.is_keyframe = is_key
            output.mux(packet)
    return path


def vop_type(payload):
    at = payload.index(b"\x00\x00\x01\xb6")
    return payload[at + 4] >> 6  # 0 is I, 1 is P, 2 is B


def packet_is_key(payload):
    return vop_type(payload) == 0


@pytest.fixture
def one_b_frame(tmp_path):
    options = {"g": str(GOP), "bf": "1", "b_strategy": "0", "sc_threshold": "1000000000"}
    return make_clip(tmp_path / "plain.avi", FRAMES, codec="mpeg4", options=options)


def test_packed_b_frames_in_avi_are_counted_right(tmp_path, limits, shown, one_b_frame):
    path = packed(tmp_path / "packed.avi", one_b_frame)
    source = probe(path, limits=limits)
    timeline = scan(path, source, limits=limits)
    assert timeline.frame_count == FRAMES
    assert len(timeline.keys) > 3
    for start, stop in [(0, 60), (13, 20), (25, 26), (40, 60)]:
        frames = decode(path, source, timeline, start, stop)
        assert [number_of(frame) for frame in frames] == list(range(start, stop))
        assert shown[-1] <= (stop - start) + GOP + REORDER_MAX + 1


def test_a_miscount_after_seeking_is_noticed_and_decoded_from_the_beginning(tmp_path, limits, one_b_frame):
    """Here only the first packet says that B-frames are packed, so a decoder that starts later drops them."""
    path = packed(tmp_path / "packed.avi", one_b_frame, marks_max=1)
    source = probe(path, limits=limits)
    timeline = scan(path, source, limits=limits)
    for start, stop in [(0, FRAMES), (13, 20), (40, FRAMES)]:
        frames = decode(path, source, timeline, start, stop)
        assert [number_of(frame) for frame in frames] == list(range(start, stop))


def test_odd_sizes_are_whole(tmp_path, limits):
    path = make_clip(
        tmp_path / "c.mkv", numbered(5, 97, 65), codec="ffv1", width=97, height=65, pix_fmt="yuv420p"
    )
    source = probe(path, limits=limits)
    frames = list(decode(path, source, scan(path, source, limits=limits), 0, 5))
    assert {frame.shape for frame in frames} == {(65, 97, 3)}


def test_rotation_and_pixel_aspect_do_not_touch_the_frame(tmp_path, limits):
    path = make_clip(tmp_path / "c.mp4", 4, rotation=90, sar=None)
    source = probe(path, limits=limits)
    frames = list(decode(path, source, scan(path, source, limits=limits), 0, 4))
    assert [number_of(frame) for frame in frames] == [0, 1, 2, 3]
    assert frames[0].shape == (64, 96, 3)


def test_a_picture_that_changes_its_size_is_refused(tmp_path, limits):
    """Two Matroska streams glued in one track, as broken recorders and live captures write them."""
    small = make_clip(tmp_path / "small.mkv", 5, codec="mjpeg", pix_fmt="yuvj420p")
    large = make_clip(tmp_path / "large.mkv", 5, codec="mjpeg", pix_fmt="yuvj420p", width=128, height=96)
    path = tmp_path / "both.mkv"
    with av.open(str(path), "w") as output:
        stream = None
        for part, given_path in enumerate([small, large]):
            with av.open(str(given_path)) as given:
                stream = stream or output.add_stream_from_template(given.streams.video[0])
                for packet in given.demux(video=0):
                    if packet.size:
                        packet.pts += part * 1000
                        packet.dts = packet.pts
                        packet.stream = stream
                        output.mux(packet)
    source = probe(path, limits=limits)
    with pytest.raises(UnsupportedMedia) as caught:
        scan(path, source, limits=limits)
    assert caught.value.field == "frame_size"
    assert caught.value.value == "128x96 yuvj420p"


def test_frames_that_are_gone_since_the_scan_are_an_error_and_not_fewer_frames(tmp_path, limits):
    path = make_clip(tmp_path / "c.mkv", 30, options={"x264-params": "keyint=5"})
    source = probe(path, limits=limits)
    timeline = scan(path, source, limits=limits)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(BrokenMedia):
        list(decode(path, source, timeline, 0, 30))


def test_another_video_under_the_same_name_is_noticed(tmp_path, limits):
    path = make_clip(tmp_path / "c.mkv", 30)
    source = probe(path, limits=limits)
    timeline = scan(path, source, limits=limits)
    make_clip(path, 30, times=[2 * index for index in range(30)])
    with pytest.raises(BrokenMedia):
        list(decode(path, source, timeline, 0, 30))


def test_closing_early_lets_the_file_go(tmp_path, limits):
    path = make_clip(tmp_path / "c.mp4", 30)
    source = probe(path, limits=limits)
    timeline = scan(path, source, limits=limits)
    with closing(decode(path, source, timeline, 0, 30)) as frames:
        assert number_of(next(frames)) == 0
        assert open_files_named(path) == 1
    assert open_files_named(path) == 0


def open_files_named(path):
    from pathlib import Path

    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(entry.readlink())
        except FileNotFoundError:  # the listing's own handle
            continue
    return links.count(path.resolve())
