"""Video of more than eight bits, and HDR: no bit is lost at either end, and what its samples mean is kept."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.worker.media.clips import make_clip
from tests.worker.media.enlarged import LIMITS, enlarge
from worker.media.checking.verify import verify
from worker.media.colour import encodable
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.tonemap import for_eyes, hlg_to_nits, pq_to_nits
from worker.media.types import Colour, Light
from worker.media.writing.encode import PartEncoder
from worker.media.writing.encoding import Encoding, depth_of

BT709 = {"matrix": 1, "primaries": 1, "transfer": 1, "range": 1}
PQ = {"matrix": 9, "primaries": 9, "transfer": 16, "range": 1}
HLG = PQ | {"transfer": 18}
P3_SCREEN = Light(
    chromaticities=(34_000, 16_000, 13_250, 34_500, 7_500, 3_000, 15_635, 16_450),
    luminance=(50, 10_000_000),
    content=(1000, 400),
)
LIT = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"

SOURCES = {  # codec, pixel format, options, bits
    "hevc.mkv": ("libx265", "yuv420p10le", {"crf": "4"}, 10),
    "hevc12.mp4": ("libx265", "yuv420p12le", {"crf": "4"}, 12),
    "av1.mp4": ("libsvtav1", "yuv420p10le", {"crf": "4", "preset": "10"}, 10),
    "prores.mov": ("prores_ks", "yuv422p10le", {"profile": "hq"}, 10),
    "dnxhr.mov": ("dnxhd", "yuv422p10le", {"profile": "dnxhr_hqx"}, 10),
}


def deep_picture(index, pix_fmt="yuv420p10le", width=256, height=128):
    """A grey ramp through each level of the middle half of the range, moving by a level a frame."""
    frame = av.VideoFrame(width, height, pix_fmt)
    bits = frame.format.components[0].bits
    for plane, samples in enumerate(frame.planes):
        level = np.full((samples.height, samples.line_size // 2), 1 << bits - 1, np.uint16)
        if plane == 0:
            across = np.arange(samples.width) * 512 // samples.width + 256 + index
            level[:, : samples.width] = across << bits - 10
        samples.update(level.tobytes())
    return frame


def deep_clip(path, pix_fmt="yuv420p10le", count=6, **settings):
    frames = [deep_picture(index, pix_fmt) for index in range(count)]
    settings = {"codec": "libx265", "colour": BT709, "options": {"crf": "4"}} | settings
    return make_clip(path, frames, width=256, height=128, pix_fmt=pix_fmt, **settings)


def luma(path: Path):
    """Of each frame, in levels of ten bits."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            plane, bits = frame.planes[0], frame.format.components[0].bits
            levels = np.frombuffer(bytes(plane), np.uint16 if bits > 8 else np.uint8)
            yield levels.reshape(plane.height, -1)[:, : plane.width] / 2.0 ** (bits - 10)


def clear(path: Path):
    return np.array([frame.mean() for frame in luma(path)])


@pytest.mark.parametrize("name", SOURCES)
def test_each_codec_of_more_bits_comes_out_with_as_many(tmp_path, name):
    codec, pix_fmt, options, bits = SOURCES[name]
    clip = deep_clip(tmp_path / name, pix_fmt, codec=codec, options=options)
    result = enlarge(clip, codec="hevc", cuts=(2, 3))
    assert (result.source.depth, probe(result.path, limits=LIMITS).depth) == (bits, bits)
    for before, after in zip(luma(clip), luma(result.path), strict=True):
        enlarged = np.repeat(np.repeat(before, 2, 0), 2, 1)
        assert np.abs(after - enlarged).mean() < 1
        assert len(np.unique(np.rint(after))) > 250  # eight bits would have 130
    assert verify(clip, result.path, scale=2)["problems"] == []


@pytest.mark.parametrize("span", [1, 2])
@pytest.mark.parametrize(("pix_fmt", "bits"), [("yuv420p10le", 10), ("yuv422p12le", 12), ("yuv444p16le", 16)])
def test_each_level_is_read_as_what_it_stands_for_and_written_as_itself(tmp_path, pix_fmt, bits, span):
    """By the formula of H.273 on the stored samples: swscale's white is not 65535."""
    clip = deep_clip(
        tmp_path / "c.mkv", pix_fmt, codec="ffv1", options={}, count=2, colour=BT709 | {"range": span}
    )
    source = probe(clip, limits=LIMITS)
    timeline = scan(clip, source, limits=LIMITS)
    black, white = (0, 1023) if span == 2 else (64, 940)
    if span == 2:
        white = ((1 << bits) - 1) / 2.0 ** (bits - 10)
    depth = depth_of("hevc", bits)
    encoding = Encoding(codec="hevc", width=256, height=128, colour=source.colour, depth=depth, is_deep=True)
    with PartEncoder(tmp_path / "part.mkv", encoding) as part:
        for index, frame in enumerate(decode(clip, source, timeline, 0, 2)):
            assert frame.dtype == np.uint16
            wanted = (np.arange(256) * 2 + 256 + index - black) / (white - black)
            assert np.abs(frame / 65_535 - wanted[None, :, None]).max() < 0.1 / 1023
            written = part.convert(frame)
            levels = np.frombuffer(bytes(written.planes[0]), np.uint16).reshape(128, -1)[:, :256]
            stored = black + wanted * (((1 << depth) - 1) / 2.0 ** (depth - 10) if span == 2 else 876)
            assert np.abs(levels / 2.0 ** (depth - 10) - stored).max() <= 0.75 / 2 ** (depth - 10)
            part.encode(written)


def test_deep_rgb_of_a_file_is_read_bit_for_bit(tmp_path):
    levels = np.random.default_rng(0).integers(0, 1024, (64, 96, 3)).astype(np.uint16)
    path = tmp_path / "clip.mkv"
    make_clip(path, [av.VideoFrame.from_ndarray(levels, format="gbrp10le")], codec="ffv1", pix_fmt="gbrp10le")
    source = probe(path, limits=LIMITS)
    [frame] = decode(path, source, scan(path, source, limits=LIMITS), 0, 1)
    assert source.depth == 10
    assert np.array_equal(np.rint(frame / 65_535 * 1023), levels)


WRITTEN = [
    ("mp4", "hevc"),
    ("mkv", "hevc"),
    ("mp4", "av1"),
    ("mkv", "av1"),
    ("webm", "av1"),
    ("mov", "prores"),
]


@pytest.mark.parametrize(("container", "codec"), WRITTEN)
@pytest.mark.parametrize("tags", [PQ, HLG])
def test_hdr_keeps_its_tags_its_times_and_its_light(tmp_path, container, codec, tags):
    clip = deep_clip(tmp_path / "clip.mp4", colour=tags, options={"crf": "4", "x265-params": LIT})
    result = enlarge(clip, codec=codec, container=container, cuts=(2, 3))
    found = probe(result.path, limits=LIMITS)
    assert (found.colour, found.light, found.depth) == (Colour(**tags), P3_SCREEN, 10)
    report = verify(clip, result.path, scale=2)
    assert report["problems"] == []
    assert (report["hdr_out"], report["bit_depth_out"]) == ("PQ" if tags is PQ else "HLG", 10)


@pytest.mark.parametrize(("container", "codec"), [*WRITTEN, ("mkv", "ffv1")])
def test_the_container_alone_says_how_bright_the_screen_was(tmp_path, container, codec):
    """Players read it there before any frame; FFV1 has it nowhere else."""
    clip = deep_clip(tmp_path / "clip.mp4", colour=PQ, options={"x265-params": LIT})
    result = enlarge(clip, codec=codec, container=container)
    head = result.path.read_bytes()
    if container in {"mp4", "mov"}:
        assert b"mdcv" in head
        assert b"clli" in head
    else:
        assert b"\x55\xd0" in head[:4096]
    assert probe(result.path, limits=LIMITS).light == P3_SCREEN


@pytest.mark.parametrize(
    "light",
    [Light(content=(600, 90)), Light(chromaticities=P3_SCREEN.chromaticities, luminance=(1, 40_000_000))],
)
def test_light_that_is_half_known_stays_so(tmp_path, light):
    encoding = Encoding(
        codec="hevc", width=96, height=64, colour=Colour(**PQ), depth=10, is_deep=True, light=light
    )
    with PartEncoder(tmp_path / "part.mkv", encoding) as part:
        part.write(np.full((64, 96, 3), 30_000, np.uint16))
    assert probe(tmp_path / "part.mkv", limits=LIMITS).light == light


def test_a_pq_clip_is_as_bright_as_it_was(tmp_path):
    """In nits, where an error of code values weighs most: half a percent at most."""
    across = np.abs(np.arange(256 + 12) % 128 - 64) * 8 + 128
    frames = [deep_picture(0) for _ in range(12)]
    for index, frame in enumerate(frames):  # ridges up to 1000 nits, moving by a pixel a frame
        plane = frame.planes[0]
        ridges = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        ridges[:, :256] = across[index : index + 256]
        plane.update(ridges.tobytes())
    clip = make_clip(
        tmp_path / "clip.mp4", frames, codec="libx265", pix_fmt="yuv420p10le", width=256, height=128,
        colour=PQ, options={"crf": "4"},
    )  # fmt: skip
    result = enlarge(clip, codec="hevc")
    before, after = ([pq_to_nits((y - 64) / 876).mean() for y in luma(path)] for path in (clip, result.path))
    assert before[0] > 50
    assert np.abs(np.array(after) / before - 1).max() < 0.005


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_ffv1_gives_deep_rgb_back_bit_for_bit(tmp_path, bits):
    levels = [np.random.default_rng(seed).integers(0, 1 << bits, (64, 96, 3)) for seed in range(3)]
    frames = [np.rint(each * 65_535 / ((1 << bits) - 1)).astype(np.uint16) for each in levels]
    encoding = Encoding(codec="ffv1", width=96, height=64, colour=Colour(**BT709), depth=bits, is_deep=True)
    path = tmp_path / "part.mkv"
    with PartEncoder(path, encoding) as part:
        for frame in frames:
            part.write(frame)
    with av.open(str(path)) as container:
        found = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert np.array_equal(found, levels)


def test_h264_gets_eight_bits_with_dither_so_that_ramps_do_not_band(tmp_path):
    """The mean keeps what lies between two levels of eight bits; rounding alone would be half a level off."""
    encoding = Encoding(
        codec="h264", width=128, height=128, colour=encodable(Colour(**BT709)), quality=1, is_deep=True
    )
    path = tmp_path / "part.mkv"
    wanted = 400.0 + np.arange(8)
    with PartEncoder(path, encoding) as part:
        for level in wanted:
            part.write(np.full((128, 128, 3), round((level - 64) / 876 * 65_535), np.uint16))
    assert np.abs(clear(path) - wanted).max() < 0.5


@pytest.mark.parametrize(
    ("codec", "bits", "written"),
    [
        ("hevc", 9, 10),
        ("hevc", 10, 10),
        ("hevc", 16, 12),
        ("h264", 10, 8),
        ("ffv1", 14, 16),
        ("h264", 8, 8),
        ("av1", 8, 8),
        ("av1", 12, 10),
        ("prores", 8, 10),
    ],
)
def test_samples_are_written_in_no_fewer_bits_where_the_codec_has_as_many(codec, bits, written):
    assert depth_of(codec, bits) == written


def test_the_curves_of_hdr_are_those_of_their_standards():
    """BT.2408, table 1: 58 % of PQ and 75 % of HLG are what a film calls white, 203 nits."""
    assert pq_to_nits(np.array([0.0, 0.58, 1.0])) == pytest.approx([0, 203, 10_000], rel=0.02, abs=0.01)
    assert hlg_to_nits(np.array([[0.75] * 3, [1.0] * 3])) == pytest.approx(
        np.array([[203] * 3, [1000] * 3]), rel=0.01
    )


@pytest.mark.parametrize("tags", [PQ, HLG])
def test_hdr_is_shown_as_bright_as_a_screen_without_it_can(tags):
    white = 0.58 if tags is PQ else 0.75
    signal = np.full((4, 4, 3), round(white * 65_535), np.uint16)
    shown = for_eyes(signal, Colour(**tags))
    assert shown.dtype == np.uint8
    assert 200 <= shown.min() <= shown.max() <= 225
    assert for_eyes(np.full((4, 4, 3), 65_535, np.uint16), Colour(**tags)).min() >= 250
    plain = for_eyes(signal, Colour(**BT709))
    assert set(np.unique(plain)) == {round(white * 255)}


def test_times_of_a_deep_clip_survive(tmp_path):
    clip = deep_clip(tmp_path / "clip.mp4", times=[0, 3, 10, 11, 40, 41], time_base=Fraction(1, 600))
    result = enlarge(clip, codec="hevc", cuts=(1, 4))
    report = verify(clip, result.path)
    assert (report["problems"], report["time_difference_s_max"]) == ([], 0)


def test_vp9_of_ten_bits_comes_out_with_as_many(tmp_path):
    """FFmpeg 9.0, as PyAV's libvpx writes eight: `-f lavfi -i gradients=s=64x64:...,format=yuv420p10le -c:v
    libvpx-vp9 -profile:v 2 -crf 20`, 6 frames of BT.709."""
    clip = tmp_path / "clip.webm"
    clip.write_bytes(Path(__file__).with_name("made").joinpath("vp9-10-bits.webm").read_bytes())
    result = enlarge(clip, codec="hevc", cuts=(2, 3))
    assert (result.source.codec, result.source.depth, probe(result.path, limits=LIMITS).depth) == (
        "vp9",
        10,
        10,
    )
    for before, after in zip(luma(clip), luma(result.path), strict=True):
        assert (np.rint(before) % 4).any(), "eight bits would have every fourth level"
        assert np.abs(after - np.repeat(np.repeat(before, 2, 0), 2, 1)).mean() < 1.5
    assert verify(clip, result.path, scale=2)["problems"] == []
