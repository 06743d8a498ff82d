"""Colour: known YUV gives the RGB that the standards say, both ways, with nothing moved."""

import av
import numpy as np
import pytest

from service.errors import UnsupportedMedia
from tests.worker.media.clips import make_clip, numbered
from worker.media.colour import encodable, settle, to_rgb, to_yuv
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.types import Colour

# Kr and Kb of each matrix, from the standards (BT.601, BT.709, BT.2020; FCC and SMPTE 240M from H.273).
WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
BARS = [
    (235, 235, 235),
    (235, 235, 16),
    (16, 235, 235),
    (16, 235, 16),
    (235, 16, 235),
    (235, 16, 16),
    (16, 16, 235),
    (16, 16, 16),
    (128, 64, 200),
    (90, 140, 60),
]
COLOURS = [(matrix, kind) for matrix in WEIGHTS for kind in (1, 2)]


def yuv_of(rgb, matrix, range_):
    """The equations of H.273, in floating point."""
    kr, kb = WEIGHTS[matrix]
    red, green, blue = (channel / 255 for channel in rgb)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    if range_ == 1:
        return 16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr
    return 255 * luma, 128 + 255 * cb, 128 + 255 * cr


def frame_of(planes, width, height, pix_fmt="yuv420p"):
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = values
        plane.update(padded.tobytes())
    return frame


def samples(frame, plane):
    part = frame.planes[plane]
    return np.frombuffer(part, np.uint8).reshape(part.height, part.line_size)[:, : part.width]


def bars_as_yuv(matrix, range_, bar=16, height=32):
    rows = [np.repeat([round(yuv_of(rgb, matrix, range_)[i]) for rgb in BARS], bar) for i in range(3)]
    return frame_of([rows[0], rows[1][::2], rows[2][::2]], bar * len(BARS), height)


def bar_middles(rgb, bar=16):
    return rgb[rgb.shape[0] // 2, bar // 2 :: bar].astype(int)


@pytest.mark.parametrize(("matrix", "range_"), COLOURS)
def test_a_clip_of_known_samples_decodes_to_the_rgb_of_the_standard(tmp_path, limits, matrix, range_):
    path = make_clip(
        tmp_path / "bars.mkv",
        [bars_as_yuv(matrix, range_)],
        codec="ffv1",
        width=160,
        height=32,
        colour={"matrix": matrix, "range": range_},
    )
    source = probe(path, limits=limits)
    assert (source.colour.matrix, source.colour.range) == (matrix, range_)
    (frame,) = decode(path, source, scan(path, source, limits=limits), 0, 1)
    assert np.abs(bar_middles(frame) - np.array(BARS)).max() <= 2  # rounding of Y, Cb and Cr adds up to that


@pytest.mark.parametrize(("matrix", "range_"), COLOURS)
def test_rgb_is_encoded_to_the_samples_of_the_standard_and_tagged(matrix, range_):
    rgb = np.repeat(np.repeat(np.array(BARS, np.uint8)[None], 16, 1), 32, 0)
    colour = Colour(matrix=matrix, range=range_)
    with to_yuv(160, 32, pix_fmt="yuv420p", colour=colour) as converter:
        frame = converter.convert(av.VideoFrame.from_ndarray(rgb, format="rgb24"))
    wanted = np.array([yuv_of(bar, matrix, range_) for bar in BARS])
    assert np.abs(samples(frame, 0)[16, 8::16] - wanted[:, 0]).max() < 1.1  # swscale cuts off
    assert np.abs(samples(frame, 1)[8, 4::8] - wanted[:, 1]).max() < 1.1
    assert np.abs(samples(frame, 2)[8, 4::8] - wanted[:, 2]).max() < 1.1
    assert frame.color_range == range_


@pytest.mark.parametrize(("matrix", "range_"), COLOURS)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p"])
def test_rgb_comes_back_from_yuv_within_two_levels(matrix, range_, pix_fmt):
    rgb = np.repeat(np.repeat(np.array(BARS, np.uint8)[None], 16, 1), 32, 0)
    colour = Colour(matrix=matrix, range=range_)
    with (
        to_yuv(160, 32, pix_fmt=pix_fmt, colour=colour) as there,
        to_rgb(160, 32, pix_fmt=pix_fmt, codec="ffv1", colour=colour) as back,
    ):
        again = back.convert(there.convert(av.VideoFrame.from_ndarray(rgb, format="rgb24"))).to_ndarray()
    assert np.abs(bar_middles(again) - np.array(BARS)).max() <= 2


def chroma_ramp(width=64, height=32):
    """Even luma; Cr rises by 4 from one chroma sample to the next."""
    ramp = np.clip(64 + 4 * np.arange(width // 2), 0, 240)
    return frame_of([np.full((height, width), 126), 128, ramp], width, height)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.mp4", "libx264", {"qp": "0"}),
        ("clip.webm", "libvpx-vp9", {"lossless": "1"}),
        ("clip.mkv", "ffv1", {}),
    ],
)
def test_chroma_is_not_moved(tmp_path, limits, name, codec, options):
    """MPEG's chroma sits on the left of two luma samples; taken as centred it shifts by half a pixel."""
    path = make_clip(
        tmp_path / name,
        [chroma_ramp()],
        codec=codec,
        width=64,
        height=32,
        options=options,
        colour={"matrix": 1},
    )
    source = probe(path, limits=limits)
    (frame,) = decode(path, source, scan(path, source, limits=limits), 0, 1)
    red = frame[16, :, 0].astype(float)
    cr = 128 + (red - (126 - 16) * 255 / 219) / (1.5748 * 255 / 224)
    inside = slice(16, 40)
    wanted = 64 + 2 * np.arange(64)[inside]  # luma sample x sits over chroma sample x / 2
    assert np.abs(cr[inside] - wanted).mean() < 0.4  # half a pixel would be 1.0


def test_chroma_is_written_where_players_look_for_it():
    x = np.arange(64)
    rgb = np.stack([np.broadcast_to(row, (32, 64)) for row in (60 + 2 * x, 0 * x + 100, 0 * x + 100)], -1)
    with to_yuv(64, 32, pix_fmt="yuv420p", colour=Colour(matrix=1, range=1)) as converter:
        frame = converter.convert(av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24"))
    wanted = [yuv_of((60 + 2 * place, 100, 100), 1, 1)[2] for place in range(16, 48, 2)]
    assert np.abs(np.mean(samples(frame, 2)[8, 8:24] - np.array(wanted))) < 0.25  # centred would be 0.44


def test_an_untagged_matrix_follows_the_size_and_is_noted():
    plain = {"is_rgb": False, "is_full": False}
    small, small_notices = settle(Colour(), height=576, **plain)
    large, large_notices = settle(Colour(), height=720, **plain)
    assert (small.matrix, small.range) == (6, 1)
    assert (large.matrix, large.range) == (1, 1)
    assert small_notices
    assert large_notices


def test_tags_win_over_the_size_and_make_no_notice():
    tagged = Colour(matrix=1, primaries=1, transfer=1, range=2)
    assert settle(tagged, height=480, is_rgb=False, is_full=False) == (tagged, ())


def test_the_full_range_pixel_formats_are_full_range():
    colour, _ = settle(Colour(matrix=6), height=480, is_rgb=False, is_full=True)
    assert colour.range == 2


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_a_matrix_that_cannot_be_converted_is_refused(matrix):
    with pytest.raises(UnsupportedMedia):
        settle(Colour(matrix=matrix), height=480, is_rgb=False, is_full=False)


def test_rgb_video_stays_rgb_and_is_encoded_as_bt709(tmp_path, limits):
    frames = list(numbered(3))
    path = make_clip(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    source = probe(path, limits=limits)
    assert source.colour.matrix == 0
    decoded = list(decode(path, source, scan(path, source, limits=limits), 0, 3))
    assert np.array_equal(decoded, frames)
    assert encodable(source.colour) == Colour(matrix=1, range=1)


def test_ten_bits_decode_to_the_same_colours(tmp_path, limits):
    rgb = np.repeat(np.repeat(np.array(BARS, np.uint8)[None], 16, 1), 32, 0)
    tags = {"matrix": 1, "range": 1}
    path = make_clip(
        tmp_path / "c.mkv", [rgb], codec="ffv1", pix_fmt="yuv420p10le", width=160, height=32, colour=tags
    )
    source = probe(path, limits=limits)
    (frame,) = decode(path, source, scan(path, source, limits=limits), 0, 1)
    assert np.abs(bar_middles(frame) / 257 - np.array(BARS)).max() <= 2


@pytest.mark.parametrize(("width", "height"), [(97, 65), (33, 17), (1, 1), (3, 2)])
def test_odd_sizes_keep_every_column_and_row(width, height):
    colour = Colour(matrix=1, range=1)
    frame = frame_of([126, 128, 128], width, height)
    with to_rgb(width, height, pix_fmt="yuv420p", codec="h264", colour=colour) as converter:
        rgb = converter.convert(frame).to_ndarray()
    assert rgb.shape == (height, width, 3)
    assert np.abs(rgb.astype(int) - 128).max() <= 1
