"""What an input says it is: fit ones described, unfit ones refused by type before they cost anything."""

import contextlib
import random
import time
from fractions import Fraction

import av
import pytest

from service.errors import (
    BrokenMedia,
    EmptyUpload,
    FrameTooLarge,
    InputError,
    NotMedia,
    NoVideo,
    TooLong,
    UnsupportedMedia,
)
from tests.worker.media.clips import Sound, Subtitle, make_clip, make_sound_alone
from worker.media.reading.probe import probe
from worker.media.types import Limits, Source

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


def test_a_clip_is_described_with_everything_that_must_be_kept(tmp_path, limits):
    path = make_clip(
        tmp_path / "clip.mp4",
        30,
        sound=[Sound(language="deu"), Sound(codec="libmp3lame")],
        subtitle=Subtitle(language="fra"),
        chapters=[(0, 0.5, "one"), (0.5, 1.2, "two")],
        sar=Fraction(4, 3),
        rotation=90,
        tags={"title": "A clip"},
        colour={"matrix": 1, "primaries": 1, "transfer": 1, "range": 1},
    )
    source = probe(path, limits=limits)
    assert (source.kind, source.container, source.codec) == ("video", "mp4", "h264")
    assert (source.width, source.height, source.pix_fmt) == (96, 64, "yuv420p")
    assert source.sar == Fraction(4, 3)
    assert source.rotation == 90
    assert source.display_matrix is not None
    assert source.display_matrix[1] < 0 < source.display_matrix[3]
    assert source.rate == 25
    assert source.duration_s == pytest.approx(1.2)
    assert (source.colour.matrix, source.colour.primaries, source.colour.transfer) == (1, 1, 1)
    assert source.colour.range == 1
    assert [(s.codec, s.language) for s in source.audio] == [("aac", "deu"), ("mp3", "und")]
    assert [(s.codec, s.language) for s in source.subtitles] == [("mov_text", "fra")]
    assert [(c.start_s, c.end_s, c.title) for c in source.chapters] == [
        (0, Fraction(1, 2), "one"),
        (Fraction(1, 2), Fraction(6, 5), "two"),
    ]
    assert source.tags is not None
    assert source.tags["title"] == "A clip"
    assert source.notices == ()


def test_a_source_survives_json(tmp_path, limits):
    path = make_clip(tmp_path / "clip.mkv", 5, sound=[Sound(codec="libopus")], sar=Fraction(16, 15))
    source = probe(path, limits=limits)
    assert Source.from_json(source.to_json()) == source


@pytest.mark.parametrize(
    ("name", "codec", "wanted"),
    [
        ("clip.mp4", "libx264", ("mp4", "h264")),
        ("clip.mov", "libx264", ("mov", "h264")),
        ("clip.mkv", "libx265", ("matroska", "hevc")),
        ("clip.webm", "libvpx-vp9", ("webm", "vp9")),
        ("clip.mkv", "libsvtav1", ("matroska", "av1")),
        ("clip.avi", "mpeg4", ("avi", "mpeg4")),
        ("clip.mkv", "ffv1", ("matroska", "ffv1")),
    ],
)
def test_containers_and_codecs_are_known_by_content(tmp_path, limits, name, codec, wanted):
    path = make_clip(tmp_path / name, 4, codec=codec)
    misnamed = path.rename(tmp_path / "upload.jpg")
    source = probe(misnamed, limits=limits)
    assert (source.container, source.codec) == wanted


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (PNG, "png"),
        (b"\xff\xd8\xff\xe0rest", "jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"),
        (b"II*\x00rest", "tiff"),
        (b"MM\x00*rest", "tiff"),
        (b"BMrest", "bmp"),
        (b"GIF89arest", "gif"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiafrest", "avif"),
    ],
)
def test_pictures_are_recognised_by_signature(tmp_path, limits, head, kind):
    path = tmp_path / "upload.mp4"
    path.write_bytes(head)
    source = probe(path, limits=limits)
    assert (source.kind, source.container) == ("image", kind)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", EmptyUpload),
        (b"x", NotMedia),
        (b"#!/bin/sh\necho hello\n", NotMedia),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", NotMedia),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", NotMedia),
        (b"RIFF\x00\x00\x00\x00ACON", NotMedia),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", NoVideo),
        (b"ID3\x04rest", NoVideo),
        (b"\xff\xfb\x90\x64rest", NoVideo),
        (b"fLaCrest", NoVideo),
        (b"\x00\x00\x00\x20ftypM4A rest", NoVideo),
        (b"OggSrest", UnsupportedMedia),
        (b"\x00\x00\x00\x20ftypheicrest", UnsupportedMedia),
        (b"FLV\x01rest", UnsupportedMedia),
        (b"\x00\x00\x00\x20ftypisom" + bytes(40), BrokenMedia),
        (b"\x1a\x45\xdf\xa3" + bytes(40), BrokenMedia),
    ],
)
def test_what_is_no_video_is_refused_by_type(tmp_path, limits, content, error):
    path = tmp_path / "upload.mp4"
    path.write_bytes(content)
    with pytest.raises(error) as caught:
        probe(path, limits=limits)
    assert caught.value.field == "file"
    assert type(caught.value) is error


def test_a_file_cut_before_its_index_is_broken(tmp_path, limits):
    path = make_clip(tmp_path / "clip.mp4", 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # the index is at the end
    with pytest.raises(BrokenMedia, match="truncated"):
        probe(path, limits=limits)


def test_sound_alone_is_no_video(tmp_path, limits):
    path = make_sound_alone(tmp_path / "sound.mkv")
    with pytest.raises(NoVideo) as caught:
        probe(path, limits=limits)
    assert caught.value.value == "audio"


def test_an_attached_picture_is_not_the_video(tmp_path, limits):
    path = make_clip(tmp_path / "clip.mp4", 5, cover=PNG)
    source = probe(path, limits=limits)
    assert source.codec == "h264"
    assert [(s.kind, s.codec) for s in source.others] == [("video", "png")]


def test_a_song_with_a_cover_is_no_video(tmp_path, limits):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("aac", rate=48_000, layout="mono")
        cover = output.add_mux_stream("png", rate=1, width=1, height=1)
        cover.disposition = av.stream.Disposition.attached_pic
        output.start_encoding()
        packet = av.Packet(PNG)
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 1000)
        output.mux(packet)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate, frame.pts = 48_000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    with pytest.raises(NoVideo):
        probe(path, limits=limits)


@pytest.mark.parametrize(
    ("name", "error"), [("clip.mp4", NoVideo), ("clip.mkv", BrokenMedia), ("clip.avi", BrokenMedia)]
)
def test_a_video_without_frames_is_refused(tmp_path, limits, name, error):
    full = make_clip(tmp_path / f"full-{name}", 2, codec="mpeg4")
    with av.open(str(full)) as given, av.open(str(tmp_path / name), "w") as output:
        output.add_stream_from_template(given.streams.video[0])
        output.start_encoding()
    with pytest.raises(error):
        probe(tmp_path / name, limits=limits)


def test_a_video_whose_frames_are_all_broken_is_refused(tmp_path, limits):
    path = make_clip(tmp_path / "clip.mkv", 3, codec="ffv1")
    with av.open(str(path)) as container:
        payloads = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for payload in payloads:
        data = data.replace(payload, bytes(len(payload)))
    path.write_bytes(data)
    with pytest.raises(BrokenMedia) as caught:
        probe(path, limits=limits)
    assert (caught.value.field, caught.value.value) == ("frames", 0)


def test_a_frame_beyond_the_limit_is_refused(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", 3)
    with pytest.raises(FrameTooLarge) as caught:
        probe(path, limits=Limits(pixels_max=96 * 64 - 1, duration_s_max=60))
    assert (caught.value.field, caught.value.value) == ("frame_size", "96x64")


def test_a_stream_larger_than_its_header_says_is_refused_too(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", 3, width=320, height=240)
    honest = b"\xb0\x82\x01\x40\xba\x81\xf0"
    data = path.read_bytes()
    assert data.count(honest) == 1
    path.write_bytes(data.replace(honest, b"\xb0\x82\x00\x10\xba\x81\x10"))
    with pytest.raises(FrameTooLarge) as caught:
        probe(path, limits=Limits(pixels_max=320 * 200, duration_s_max=60))
    assert caught.value.value == "320x240"


@pytest.mark.parametrize("name", ["clip.avi", "clip.mkv", "clip.mp4", "clip.mov"])
@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_declared_giant_is_refused_before_anything_is_allocated(tmp_path, limits, name, codec):
    """FFmpeg drops such sizes without a word and would go on with what the stream says."""
    path = make_clip(tmp_path / name, 3, codec=codec, width=4000, height=48)
    giant, known = {
        "avi": ("100000x100000", (4000).to_bytes(4, "little") + (48).to_bytes(4, "little")),
        "mkv": ("65535x255", b"\xb0\x82\x0f\xa0\xba\x81\x30"),
        "mp4": ("65535x65535", (4000).to_bytes(2, "big") + (48).to_bytes(2, "big")),
        "mov": ("65535x65535", (4000).to_bytes(2, "big") + (48).to_bytes(2, "big")),
    }[name[5:]]
    wanted = {
        "avi": (100_000).to_bytes(4, "little") * 2,
        "mkv": b"\xb0\x82\xff\xff\xba\x81\xff",
        "mp4": b"\xff\xff\xff\xff",
        "mov": b"\xff\xff\xff\xff",
    }[name[5:]]
    data = path.read_bytes()
    assert known in data
    path.write_bytes(data.replace(known, wanted))
    with pytest.raises(FrameTooLarge) as caught:
        probe(path, limits=limits)
    assert (caught.value.field, caught.value.value) == ("frame_size", giant)


def test_ten_hours_are_refused_by_the_header_alone(tmp_path, limits):
    path = make_clip(tmp_path / "clip.mkv", 3, times=[0, 40, 36_000_000], time_base=Fraction(1, 1000))
    began = time.monotonic()
    with pytest.raises(TooLong) as caught:
        probe(path, limits=limits)
    assert caught.value.field == "duration"
    assert caught.value.value == pytest.approx(36_000, abs=1)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_without_a_matrix_is_taken_for_bt2020(tmp_path, limits, transfer):
    path = make_clip(
        tmp_path / "clip.mp4",
        3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        colour={"primaries": 9, "transfer": transfer, "range": 1},
    )
    source = probe(path, limits=limits)
    assert (source.colour.matrix, source.colour.transfer, source.depth) == (9, transfer, 10)
    assert any("bt2020" in notice for notice in source.notices)


@pytest.mark.parametrize(("pix_fmt", "depth"), [("yuv420p", 8), ("yuv420p10le", 10), ("yuv420p12le", 12)])
def test_the_depth_of_samples_is_known(tmp_path, limits, pix_fmt, depth):
    path = make_clip(tmp_path / "clip.mp4", 3, codec="libx265", pix_fmt=pix_fmt, colour={"matrix": 1})
    source = probe(path, limits=limits)
    assert (source.pix_fmt, source.depth) == (pix_fmt, depth)
    assert source.notices == ()


def test_alpha_is_refused(tmp_path, limits):
    path = make_clip(tmp_path / "clip.mkv", 3, codec="ffv1", pix_fmt="yuva420p")
    with pytest.raises(UnsupportedMedia) as caught:
        probe(path, limits=limits)
    assert (caught.value.field, caught.value.value) == ("pix_fmt", "yuva420p")


def test_a_matrix_we_cannot_convert_is_refused(tmp_path, limits):
    path = make_clip(tmp_path / "clip.mp4", 3, colour={"matrix": 10})
    with pytest.raises(UnsupportedMedia) as caught:
        probe(path, limits=limits)
    assert (caught.value.field, caught.value.value) == ("colour_matrix", 10)


def test_a_codec_outside_the_list_is_refused(tmp_path, limits):
    path = make_clip(tmp_path / "clip.avi", 3, codec="cinepak", pix_fmt="rgb24")
    with pytest.raises(UnsupportedMedia) as caught:
        probe(path, limits=limits)
    assert (caught.value.field, caught.value.value) == ("codec", "cinepak")


def test_a_title_that_is_not_utf8_does_no_harm(tmp_path, limits):
    path = make_clip(tmp_path / "clip.mkv", 3, tags={"title": "xxxxxx"})
    path.write_bytes(path.read_bytes().replace(b"xxxxxx", b"\xe9t\xe9 \xff\xfe"))
    source = probe(path, limits=limits)
    assert Source.from_json(source.to_json()) == source


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_damage_anywhere_is_survived_or_refused_by_type(tmp_path, limits, name):
    """Cuts and flipped bytes: the worker never dies of an input, and never sees an error without a type."""
    whole = make_clip(tmp_path / name, 4, codec="mpeg4", sound=[Sound(codec="libmp3lame")]).read_bytes()
    rng = random.Random(8)
    path = tmp_path / f"damaged-{name}"
    for _ in range(60):
        data = bytearray(whole[: rng.randrange(1, len(whole))] if rng.random() < 0.4 else whole)
        for _ in range(rng.randrange(8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            source = probe(path, limits=limits)
            assert source.kind == "image" or source.width * source.height <= limits.pixels_max
