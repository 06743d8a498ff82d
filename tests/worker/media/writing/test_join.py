"""Assembly: every time, packet and tag of the source is in the result, and nothing is re-encoded."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from service.errors import InvalidOption, OutputInvalid
from tests.worker.media.clips import Sound, Subtitle, make_clip, make_fall, number_of
from tests.worker.media.enlarged import enlarge, packets_of, shown_s
from worker.media.checking.verify import verify
from worker.media.types import Colour
from worker.media.writing.encode import PartEncoder
from worker.media.writing.encoding import Encoding
from worker.media.writing.join import assemble

MILLISECOND = Fraction(1, 1000)
NTSC = Fraction(30_000, 1001)
BFRAMES = {"bf": "3", "g": "12"}
CODECS = ["h264", "hevc", "av1", "prores", "ffv1"]


def vorbis_clip(path):
    """FFmpeg's own Vorbis encoder, which it only gives to those who ask for experiments."""
    picture = make_clip(path.with_name("picture.mkv"), 25)
    with av.open(str(picture)) as origin, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(origin.streams.video[0])
        sound = output.add_stream("vorbis", rate=48_000, layout="stereo", options={"strict": "experimental"})
        output.start_encoding()
        for packet in origin.demux(video=0):
            if packet.dts is not None or packet.size:
                packet.stream = video
                output.mux(packet)
        wave = (np.sin(np.arange(1024) / 9) * 0.5).astype(np.float32)
        for index in range(40):
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, index * 1024, Fraction(1, 48_000)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return path


SOUNDS = {
    "aac with priming": ("clip.mp4", [Sound(codec="aac")], "mp4"),
    "aac that starts late": ("clip.mp4", [Sound(codec="aac", start_s=0.317)], "mp4"),
    "aac in matroska": ("clip.mkv", [Sound(codec="aac", rate=44_100)], "mp4"),
    "two tracks": (
        "clip.mp4",
        [Sound(codec="aac", language="eng"), Sound(codec="aac", language="deu", hertz=660, start_s=0.2)],
        "mp4",
    ),
    "longer than the picture": ("clip.mp4", [Sound(codec="aac", seconds=2)], "mp4"),
    "opus in mp4": ("clip.mp4", [Sound(codec="libopus")], "mp4"),
    "opus in webm": ("clip.webm", [Sound(codec="libopus", start_s=0.1)], "mp4"),
    "mp3 in mp4": ("clip.mp4", [Sound(codec="libmp3lame", rate=44_100)], "mp4"),
    "mp3 in matroska": ("clip.mkv", [Sound(codec="libmp3lame", rate=44_100)], "mp4"),
    "mp3 in avi": ("clip.avi", [Sound(codec="libmp3lame", rate=44_100)], "mp4"),
    "ac3": ("clip.mp4", [Sound(codec="ac3")], "mp4"),
    "flac": ("clip.mkv", [Sound(codec="flac")], "mp4"),
    "pcm in mov": ("clip.mov", [Sound(codec="pcm_s16le")], "mkv"),
    "pcm in avi": ("clip.avi", [Sound(codec="pcm_s16le")], "mkv"),
    "aac beside pcm": ("clip.mov", [Sound(codec="aac"), Sound(codec="pcm_s24le")], "mkv"),
    "vorbis": ("clip.mkv", "vorbis", "mkv"),
    "none": ("clip.mp4", [], "mp4"),
}


@pytest.mark.parametrize("container", ["default", "mkv"])
@pytest.mark.parametrize("case", SOUNDS)
def test_every_audio_packet_is_copied_at_its_time(tmp_path, case, container):
    name, sound, expected = SOUNDS[case]
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    if sound == "vorbis":
        clip = vorbis_clip(tmp_path / name)
    else:
        clip = make_clip(tmp_path / name, 25, codec=codec, sound=sound)

    result = enlarge(clip, container=None if container == "default" else container)

    assert result.path.suffix == f".{expected if container == 'default' else container}"
    before, after = packets_of(clip, "audio"), packets_of(result.path, "audio")
    assert len(before) == len(after) == (1 if sound == "vorbis" else len(sound))
    for source, copy in zip(before, after, strict=True):
        assert [data for _, data in copy] == [data for _, data in source]
        apart = max(abs(a - b) for (a, _), (b, _) in zip(copy, source, strict=True))
        assert apart <= (MILLISECOND if {clip.suffix, result.path.suffix} - {".mp4", ".mov"} else 0)
    assert [stream.packet_count for stream in result.report.copied] == [len(source) for source in before]
    assert all(stream.is_same for stream in result.report.copied)
    assert result.report.dropped == ()


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_late_start_between_two_frames_is_kept_to_the_sample(tmp_path, rate):
    """Guards against edit lists counted in the picture's clock, which is coarser than sound."""
    late = Sound(codec="aac", rate=rate, start_s=15_221 / rate)
    exact = {"movie_timescale": str(rate)}
    clip = make_clip(tmp_path / "clip.mp4", 25, sound=[late], container_options=exact)
    priming = 1024
    assert packets_of(enlarge(clip).path, "audio")[0][0][0] == Fraction(15_221 - priming, rate)


def test_sound_of_a_millisecond_clock_is_laid_end_to_end_in_mp4(tmp_path):
    """Guards against clicks: players of mp4 hear packets that overlap by what the clock rounded."""
    clip = make_clip(tmp_path / "clip.mkv", 25, sound=[Sound(codec="aac", rate=44_100)])
    times = [time * 44_100 for time, _ in packets_of(enlarge(clip).path, "audio")[0]]
    assert times == [1024 * (index - 1) for index in range(len(times))]


@pytest.mark.parametrize(("kind", "container"), [("audio", "mp4"), ("audio", "mkv"), ("subtitle", "mkv")])
def test_times_that_fall_in_the_source_are_made_to_rise_with_a_notice(tmp_path, kind, container):
    """Guards against a job that fails at its end: no muxer takes decode times that fall."""
    text = Subtitle(lines=[(k / 10, (k + 1) / 10, "text") for k in range(9)]) if container == "mkv" else None
    clip = make_clip(tmp_path / "clip.mkv", 25, sound=[Sound(codec="aac")], subtitle=text)
    make_fall(clip, kind, 5, 105)
    [source] = packets_of(clip, kind)
    assert [time for time, _ in source] != sorted(time for time, _ in source)

    result = enlarge(clip, container=container)

    [copy] = packets_of(result.path, kind)
    assert [data for _, data in copy] == [data for _, data in source]
    times = [time for time, _ in copy]
    assert times == sorted(times)
    others = [abs(a - b) for k, ((a, _), (b, _)) in enumerate(zip(copy, source, strict=True)) if k != 5]
    assert max(others) <= MILLISECOND
    assert result.report.notices == ("1 packets of the source had times that did not rise; they were moved",)


UNEVEN = [0, 400, 1201, 1202, 1900, 5000, 5001, 5600, 6100, 9000, 9513, 12_000, 12_001, 12_900, 20_000]
CLOCKS = {
    "even": {"name": "clip.mp4"},
    "ntsc": {"name": "clip.mp4", "rate": NTSC, "time_base": 1 / NTSC},
    "uneven": {"name": "clip.mp4", "times": UNEVEN, "time_base": Fraction(1, 12_800), "frames": 15},
    "uneven matroska": {"name": "clip.mkv", "times": UNEVEN, "time_base": MILLISECOND, "frames": 15},
    "late": {
        "name": "clip.mp4",
        "times": [1000 + 512 * k for k in range(20)],
        "time_base": Fraction(1, 12_800),
    },
    "last frame stays": {
        "name": "clip.mkv",
        "times": [0, 40, 80, 5000],
        "time_base": MILLISECOND,
        "frames": 4,
    },
    "avi": {"name": "clip.avi", "rate": NTSC},
    "one frame": {"name": "clip.mp4", "frames": 1},
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("case", CLOCKS)
def test_every_frame_is_shown_at_its_time(tmp_path, case, codec):
    settings = {"frames": 20, **CLOCKS[case]}
    clip = make_clip(tmp_path / settings.pop("name"), settings.pop("frames"), options=BFRAMES, **settings)

    result = enlarge(clip, codec=codec)

    found = shown_s(result.path)
    assert len(found) == len(result.wanted_s)
    apart = max(abs(a - b) for a, b in zip(found, result.wanted_s, strict=True))
    if result.report.container == "mkv":
        assert apart <= MILLISECOND / 2
    else:
        assert apart == 0
        with av.open(str(result.path)) as container:
            stream = container.streams.video[0]
            length = stream.duration * stream.time_base
        last_s = result.timeline.duration * result.timeline.time_base
        assert length == result.wanted_s[-1] + last_s - result.wanted_s[0]
    assert result.report.difference_s_max == apart


@pytest.mark.parametrize("codec", CODECS)
def test_parts_follow_each_other_without_a_lost_or_repeated_frame(tmp_path, codec):
    clip = make_clip(tmp_path / "clip.mp4", 30)
    result = enlarge(clip, codec=codec, cuts=(1, 2, 9, 28))
    with av.open(str(result.path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [number_of(frame) for frame in frames] == list(range(30))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "h264"), ("mkv", "h264"), ("webm", "av1"), ("mov", "prores")]
)
def test_rotation_and_pixel_aspect_are_kept(tmp_path, rotation, container, codec):
    clip = make_clip(tmp_path / "clip.mp4", 5, rotation=rotation, sar=Fraction(16, 15))
    result = enlarge(clip, codec=codec, container=container)
    with av.open(str(clip)) as before, av.open(str(result.path)) as after:
        assert after.streams.video[0].sample_aspect_ratio == Fraction(16, 15)
        assert next(after.decode(video=0)).rotation == next(before.decode(video=0)).rotation


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "h264"), ("mkv", "h264"), ("mp4", "hevc"), ("mkv", "hevc"), ("mp4", "av1"), ("webm", "av1")],
)
@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 6, 6, 2), (9, 9, 14, 1)])
def test_colour_tags_are_kept(tmp_path, codec, container, tags):
    named = dict(zip(("matrix", "primaries", "transfer", "range"), tags, strict=True))
    result = enlarge(make_clip(tmp_path / "clip.mp4", 5, colour=named), codec=codec, container=container)
    with av.open(str(result.path)) as opened:
        context = opened.streams.video[0].codec_context
        found = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
    assert found == tags
    assert result.source.colour == Colour(**named)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_chapters_tags_and_languages_are_kept(tmp_path, container):
    clip = make_clip(
        tmp_path / "clip.mp4",
        25,
        sound=[Sound(language="eng"), Sound(language="deu")],
        chapters=[(0, 0.48, "one"), (0.48, 1, "two")],
        tags={"title": "A title", "artist": "Someone"},
    )
    result = enlarge(clip, container=container)
    with av.open(str(result.path)) as opened:
        tags = {key.lower(): value for key, value in opened.metadata.items()}
        assert (tags["title"], tags["artist"]) == ("A title", "Someone")
        assert [stream.language for stream in opened.streams.audio] == ["eng", "deu"]
        assert [bool(stream.disposition & 1) for stream in opened.streams.audio] == [True, False]
        chapters = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in opened.chapters()
        ]
    assert chapters == [(0, Fraction(12, 25), "one"), (Fraction(12, 25), 1, "two")]
    assert result.report.dropped == ()


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [("clip.mp4", "h264", "mp4"), ("clip.mkv", "h264", "mkv"), ("clip.mkv", "ffv1", "mkv")],
)
def test_subtitles_decide_the_default_container_and_are_copied(tmp_path, name, codec, container):
    clip = make_clip(tmp_path / name, 25, subtitle=Subtitle(language="fra"))
    result = enlarge(clip, codec=codec)
    assert result.report.container == container
    said = [(time, data) for time, data in packets_of(clip, "subtitle")[0] if len(data) > 2]
    found = [(time, data) for time, data in packets_of(result.path, "subtitle")[0] if len(data) > 2]
    assert found == said
    with av.open(str(result.path)) as opened:
        assert opened.streams.subtitles[0].language == "fra"


def test_subtitles_that_a_forced_container_cannot_hold_are_dropped_with_the_reason(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", 25, subtitle=Subtitle())
    result = enlarge(clip, container="mp4")
    assert packets_of(result.path, "subtitle") == []
    assert [(lost.what, lost.why) for lost in result.report.dropped] == [
        ("subtitle stream 1 (subrip)", "mp4 holds no such subtitle")
    ]
    assert "subrip" in result.reasons[0]


def test_sound_that_a_forced_mp4_cannot_hold_is_dropped_with_the_reason(tmp_path):
    clip = make_clip(tmp_path / "clip.mov", 10, sound=[Sound(codec="pcm_s16le"), Sound(codec="aac")])
    result = enlarge(clip, container="mp4")
    assert len(packets_of(result.path, "audio")) == 1
    assert [lost.what for lost in result.report.dropped] == ["audio stream 1 (pcm_s16le)"]


@pytest.mark.parametrize(
    ("codec", "container"),
    [("ffv1", "mp4"), ("ffv1", "webm"), ("h264", "webm"), ("av1", "mov"), ("prores", "mp4")],
)
def test_a_codec_that_a_container_is_not_written_with_is_refused(tmp_path, codec, container):
    with pytest.raises(InvalidOption) as caught:
        enlarge(make_clip(tmp_path / "clip.mp4", 2), codec=codec, container=container)
    assert (caught.value.field, caught.value.value) == ("format", container)


@pytest.mark.parametrize(
    ("sound", "container"), [("aac", "mov"), ("pcm_s16le", "mov"), ("libopus", "mkv"), ("flac", "mkv")]
)
def test_prores_goes_into_mov_and_where_that_holds_no_such_sound_into_mkv(tmp_path, sound, container):
    clip = make_clip(tmp_path / "clip.mkv", 10, sound=[Sound(codec=sound)])
    result = enlarge(clip, codec="prores")
    assert result.report.container == container
    assert verify(clip, result.path)["problems"] == []
    assert result.report.dropped == ()
    assert result.reasons == (
        ("mov because mp4 holds no PRORES",)
        if container == "mov"
        else (f"mkv because mov holds no {sound.removeprefix('lib')} audio",)
    )


@pytest.mark.parametrize("sound", ["libopus", "aac"])
def test_webm_takes_the_sound_that_it_knows_and_drops_other_with_the_reason(tmp_path, sound):
    clip = make_clip(tmp_path / "clip.mkv", 10, sound=[Sound(codec=sound)])
    result = enlarge(clip, codec="av1", container="webm")
    assert result.path.read_bytes()[:64].count(b"webm") == 1
    assert [lost.why for lost in result.report.dropped] == ["webm holds no such audio"] * (sound == "aac")
    if sound == "libopus":
        assert verify(clip, result.path)["problems"] == []


@pytest.mark.parametrize(("container", "kept"), [("mkv", True), ("mp4", False)])
def test_attachments_are_kept_in_matroska(tmp_path, container, kept):
    plain = make_clip(tmp_path / "plain.mkv", 5)
    clip = tmp_path / "clip.mkv"
    with av.open(str(plain)) as origin, av.open(str(clip), "w") as output:
        video = output.add_stream_from_template(origin.streams.video[0])
        output.add_attachment("font.ttf", "font/ttf", b"not really a font")
        for packet in origin.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)

    result = enlarge(clip, container=container)

    with av.open(str(result.path)) as opened:
        assert [stream.data for stream in opened.streams.attachments] == [b"not really a font"] * kept
    assert [lost.what for lost in result.report.dropped] == ["attachment stream 1"] * (not kept)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_trimmed_result_begins_at_zero_with_its_sound_moved_alike(tmp_path, container):
    clip = make_clip(
        tmp_path / "clip.mp4",
        75,
        options=BFRAMES,
        sound=[Sound(seconds=3)],
        subtitle=Subtitle(
            lines=[(0.2, 0.4, "before"), (0.8, 1.2, "into"), (1.5, 1.7, "inside"), (2.5, 2.8, "no")]
        ),
        chapters=[(0, 1.2, "one"), (1.2, 2.6, "two"), (2.6, 3, "three")],
    )

    result = enlarge(clip, container=container, start_s=1.0, duration_s=1.0)

    tolerance = 0 if container == "mp4" else MILLISECOND
    found = shown_s(result.path)
    assert len(found) == 25
    assert all(abs(time - Fraction(k, 25)) <= tolerance for k, time in enumerate(found))
    before = [(time - 1, data) for time, data in packets_of(clip, "audio")[0]]
    wanted = [(t, data) for t, data in before if t + Fraction(1024, 48_000) > 0 and t < 1]
    after = packets_of(result.path, "audio")[0]
    assert [data for _, data in after] == [data for _, data in wanted]
    assert all(abs(a - b) <= tolerance for (a, _), (b, _) in zip(after, wanted, strict=True))
    with av.open(str(result.path)) as opened:
        chapters = [(c["start"] * c["time_base"], c["metadata"]["title"]) for c in opened.chapters()]
    assert chapters == [(0, "one"), (Fraction(1, 5), "two")]
    if container == "mp4":
        texts = [(time, data[2:]) for time, data in packets_of(result.path, "subtitle")[0] if len(data) > 2]
        assert texts == [(0, b"into"), (Fraction(1, 2), b"inside")]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_track_with_nothing_in_the_chosen_span_is_dropped_with_the_reason(tmp_path, container):
    """Guards against mp4 leaving the empty track out and every later one standing in its place."""
    clip = make_clip(tmp_path / "clip.mp4", 50, sound=[Sound(seconds=0.2), Sound(seconds=2, language="deu")])
    result = enlarge(clip, container=container, start_s=1.0, duration_s=0.5)
    assert [lost.what for lost in result.report.dropped] == ["audio stream 1 (aac)"]
    assert [stream.source_index for stream in result.report.copied] == [2]
    with av.open(str(result.path)) as opened:
        assert [stream.language for stream in opened.streams.audio] == ["deu"]


def test_a_tag_that_mp4_has_no_name_for_is_reported(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", 3, tags={"title": "kept", "mood": "lost"})
    assert [lost.what for lost in enlarge(clip, container="mp4").report.dropped] == ["tag 'MOOD'"]
    assert enlarge(clip, container="mkv").report.dropped == ()


def test_mp4_can_be_played_while_it_loads_and_names_hevc_as_apple_wants(tmp_path):
    data = enlarge(make_clip(tmp_path / "clip.mp4", 5), codec="hevc").path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"hvc1" in data
    assert b"hev1" not in data


def broken_parts(tmp_path, clip, change):
    """Assemble with the parts of a healthy run after `change` had its way with the list."""
    made = enlarge(clip)
    encoding = make_encoding(made)
    paths = []
    for index, count in enumerate((4, 6)):
        paths.append(tmp_path / f"{index}.mkv")
        with PartEncoder(paths[-1], encoding) as part:
            for _ in range(count):
                part.write(np.zeros((encoding.height, encoding.width, 3), np.uint8))
    made.path.unlink()
    change(paths, encoding)
    before = set(tmp_path.iterdir())
    with pytest.raises(OutputInvalid) as caught:
        assemble(
            paths,
            source_path=clip,
            source=made.source,
            timeline=made.timeline,
            encoding=encoding,
            container="mp4",
            out=tmp_path / "out.mp4",
        )
    assert set(tmp_path.iterdir()) == before
    return caught.value


def make_encoding(made):
    source = made.source
    return Encoding(codec="h264", width=source.width * 2, height=source.height * 2, colour=source.colour)


def test_assembly_can_be_stopped_at_every_packet_and_leaves_nothing(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 10, sound=[Sound()])
    made = enlarge(clip)
    made.path.unlink()
    part = tmp_path / "part.mkv"
    encoding = make_encoding(made)
    with PartEncoder(part, encoding) as encoder:
        for _ in range(10):
            encoder.write(np.zeros((encoding.height, encoding.width, 3), np.uint8))
    before = set(tmp_path.iterdir())
    calls = 0

    def stop_after(count):
        def on_packet():
            nonlocal calls
            calls += 1
            if calls > count:
                raise InterruptedError

        return on_packet

    def run(on_packet):
        assemble(
            [part],
            source_path=clip,
            source=made.source,
            timeline=made.timeline,
            encoding=encoding,
            container="mp4",
            out=tmp_path / "out.mp4",
            on_packet=on_packet,
        )

    run(stop_after(10**6))
    assert calls >= 2 * (10 + 48)  # written and read back
    (tmp_path / "out.mp4").unlink()
    for count in (0, 30, calls - 1):
        calls = 0
        with pytest.raises(InterruptedError):
            run(stop_after(count))
        assert set(tmp_path.iterdir()) == before


def test_a_missing_part_is_found_and_nothing_is_left(tmp_path):
    error = broken_parts(tmp_path, make_clip(tmp_path / "clip.mp4", 10), lambda paths, _: paths.pop())
    assert (error.field, error.value) == ("frames", 4)


def test_a_part_with_other_settings_is_found(tmp_path):
    def reencode(paths, encoding):
        with PartEncoder(paths[1], replace(encoding, sar=Fraction(4, 3))) as part:
            for _ in range(6):
                part.write(np.zeros((encoding.height, encoding.width, 3), np.uint8))

    error = broken_parts(tmp_path, make_clip(tmp_path / "clip.mp4", 10), reencode)
    assert error.field == "parts"
