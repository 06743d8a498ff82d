"""The conformance report: clean for what we make, and each kind of damage is named."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from tests.worker.media.animation.conftest import saved, truth
from tests.worker.media.animation.test_writing import made
from tests.worker.media.clips import Sound, Subtitle, make_clip
from tests.worker.media.enlarged import enlarge
from worker.media.checking.verify import verify


def full_clip(path, **changes):
    settings = {
        "sound": [Sound(), Sound(start_s=0.2, language="deu")],
        "sar": Fraction(16, 15),
        "rotation": 90,
        "colour": {"matrix": 1, "primaries": 1, "transfer": 1, "range": 1},
        "chapters": [(0, 0.5, "one"), (0.5, 1, "two")],
    }
    return make_clip(path, **(settings | changes))


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "prores", "ffv1"])
def test_a_result_of_ours_has_no_problems(tmp_path, codec):
    clip = full_clip(tmp_path / "clip.mp4")
    report = verify(clip, enlarge(clip, codec=codec).path, scale=2)
    assert report["problems"] == []
    assert (report["frames_in"], report["frames_out"]) == (25, 25)
    assert report["time_difference_s_max"] <= (0.001 if codec == "ffv1" else 0)
    assert [(stream["is_same"], stream["packet_count"]) for stream in report["streams"]] == [(True, 48)] * 2
    json.dumps(report)


def test_a_trimmed_result_is_compared_with_its_piece(tmp_path):
    sound = [Sound(seconds=2), Sound(seconds=0.2)]
    clip = full_clip(tmp_path / "clip.mp4", chapters=(), frames=50, sound=sound)
    result = enlarge(clip, start_s=0.5, duration_s=0.6)
    assert verify(clip, result.path, scale=2, start_s=0.5, duration_s=0.6)["problems"] == []
    assert verify(clip, result.path, scale=2)["problems"] != []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"frames": 24}, "25 frames became 24"),
        ({"width": 100}, "96x64 became 100x64"),
        ({"rate": 24}, "from its time"),
        ({"sar": None}, "pixel aspect"),
        ({"rotation": 0}, "rotation"),
        ({"colour": {"matrix": 6, "primaries": 6, "transfer": 6, "range": 1}}, "colour tags"),
        ({"chapters": ()}, "2 chapters became 0"),
        ({"sound": [Sound()]}, "audio stream 2 (aac) is missing"),
        ({"sound": [Sound(), Sound(start_s=0.3)]}, "audio stream 2 is up to 0.100 s"),
        ({"sound": [Sound(hertz=300), Sound(start_s=0.2)]}, "audio stream 1 has 48 packets"),
        ({"sound": [Sound(seconds=2), Sound(start_s=0.2)]}, "its copy 95"),
    ],
)
def test_each_difference_is_named(tmp_path, change, named):
    clip = full_clip(tmp_path / "clip.mp4")
    other = full_clip(tmp_path / "other.mp4", **change)
    problems = verify(clip, other, scale=1)["problems"]
    assert any(named in problem for problem in problems), problems


def test_subtitles_that_are_not_in_the_result_are_named(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", subtitle=Subtitle())
    report = verify(clip, enlarge(clip, container="mp4").path)
    assert report["problems"] == ["subtitle stream 1 (subrip) is missing"]
    assert [info["codec"] for info in report["missing"]] == ["subrip"]


def test_a_length_that_was_lost_is_named(tmp_path):
    times = [0, 40, 80, 120]
    base = Fraction(1, 1000)
    clip = make_clip(tmp_path / "clip.mkv", 4, times=times, time_base=base)
    longer = make_clip(tmp_path / "longer.mkv", 4, times=[0, 40, 80, 5000], time_base=base)
    assert any("0.160 s became" in problem for problem in verify(clip, longer)["problems"])


def picture(path, size=(8, 6), mode="RGB", **options):
    Image.fromarray(np.zeros((size[1], size[0], 4), np.uint8)).convert(mode).save(path, **options)
    return path


def test_pictures_are_compared_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    low = picture(tmp_path / "low.jpg", exif=exif)
    assert verify(low, picture(tmp_path / "high.png", (24, 32)), scale=4)["problems"] == []
    assert "became" in verify(low, picture(tmp_path / "high.png", (32, 24)), scale=4)["problems"][0]


@pytest.mark.parametrize(
    ("mode", "options", "named"),
    [("RGB", {}, "transparency"), ("RGBA", {"icc_profile": b"profile"}, "ICC"), ("LA", {}, "grey")],
)
def test_what_a_picture_lost_is_named(tmp_path, mode, options, named):
    low = picture(tmp_path / "low.png", mode="RGBA")
    high = picture(tmp_path / "high.png", (32, 24), mode=mode, **options)
    problems = verify(low, high, scale=4)["problems"]
    assert len(problems) == 1
    assert named in problems[0]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_of_ours_has_no_problems(tmp_path, suffix):
    given = saved(tmp_path / "in.webp", truth(), duration=[30, 70, 50, 250, 70], loop=2)
    out = made(tmp_path, given, suffix[1:], quality=100)[0]
    report = verify(given, out, scale=2)
    assert report["problems"] == []
    assert (report["kind"], report["frames_in"], report["frames_out"], report["plays_out"]) == (
        "animation",
        5,
        5,
        2,
    )
    json.dumps(report)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"frames": truth(4), "duration": [30, 70, 50, 250]}, "5 frames became 4"),
        ({"duration": [30, 70, 90, 250, 70]}, "a frame is shown 0.040000 s"),
        ({"duration": [30, 70, 50, 250, 700]}, "0.470 s became 1.100 s"),
        ({"loop": 5}, "2 times of being shown"),
        ({"frames": truth(is_transparent=False)}, "transparency"),
    ],
)
def test_what_an_animation_lost_is_named(tmp_path, change, named):
    settings = {"duration": [30, 70, 50, 250, 70], "loop": 2}
    given = saved(tmp_path / "in.webp", truth(), **settings)
    frames = change.pop("frames", truth())
    problems = verify(given, saved(tmp_path / "out.webp", frames, **settings | change), scale=1)["problems"]
    assert any(named in problem for problem in problems), problems


def test_a_video_of_an_animation_is_compared_with_it(tmp_path):
    given = saved(tmp_path / "in.webp", truth(is_transparent=False), duration=40)
    clip = make_clip(tmp_path / "clip.mp4", 5, width=96, height=64)
    assert verify(given, clip, scale=2)["problems"] == []
    late = make_clip(tmp_path / "late.mp4", 5, width=96, height=64, rate=20)
    assert "from its time" in verify(given, late, scale=2)["problems"][0]
    assert verify(clip, given)["problems"] == ["the input is a video, the output an animation"]


def test_a_video_for_a_picture_is_a_problem(tmp_path):
    low = picture(tmp_path / "low.png")
    assert verify(low, make_clip(tmp_path / "clip.mp4", 2))["problems"] == [
        "the input is a picture, the output a video"
    ]


def test_a_result_whose_packets_are_out_of_order_is_found(tmp_path):
    """Times that were swapped by hand, in a file that players open without complaint."""
    clip = make_clip(
        tmp_path / "clip.mkv", 6, options={"bf": "0"}, time_base=Fraction(1, 1000), times=range(0, 240, 40)
    )
    late = tmp_path / "late.mkv"
    with av.open(str(clip)) as origin, av.open(str(late), "w") as output:
        video = output.add_stream_from_template(origin.streams.video[0])
        for index, packet in enumerate(p for p in origin.demux(video=0) if p.size):
            packet.stream = video
            packet.pts = packet.dts = packet.pts + (7 if index == 3 else 0)
            output.mux(packet)
    assert "0.007000 s" in verify(clip, late)["problems"][0]
