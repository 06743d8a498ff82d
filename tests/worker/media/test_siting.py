"""Chroma siting: vertical and horizontal bars of colour come out where they were, for every way to subsample.

A shift of half a luma pixel is two after enlarging. Flat fields can't show it, so bars are drawn: sines of Cr
with a period of 32 luma pixels, sampled where the format says that its samples sit. What comes out is held
against the sine itself.
"""

import av
import numpy as np
import pytest

from tests.worker.media.clips import make_clip
from worker.media.colour import to_rgb
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.types import Colour

SIDE, PERIOD = 64, 32
BT709 = Colour(matrix=1, range=1)
PLACES = {"left": (0, 0.5), "center": (0.5, 0.5), "topleft": (0, 0), "top": (0.5, 0)}  # of a chroma cell
SHIFT_MAX = 0.06  # luma pixels; half a pixel is the smallest mistake


def bars(pix_fmt, place, axis):
    """Even luma, with bars of Cr across (axis 1) or down (axis 0), sampled at `place`; exact to a level."""
    frame = av.VideoFrame(SIDE, SIDE, pix_fmt)
    for index, plane in enumerate(frame.planes):
        values = np.full((plane.height, plane.line_size), 126 if index == 0 else 128, np.uint8)
        if index == 2:
            step = SIDE // (plane.width if axis == 1 else plane.height)
            at = np.arange(SIDE // step) * step + PLACES[place][1 - axis] * (step - 1)
            row = np.round(128 + 80 * np.sin(2 * np.pi * at / PERIOD))
            values[:, : plane.width] = row[None, :] if axis == 1 else row[:, None]
        plane.update(values.tobytes())
    return frame


def shift_of(rgb, axis):
    """Luma pixels by which the bars of red lie right of (below) where they were drawn."""
    line = rgb[..., 0].astype(float).mean(axis=1 - axis)[16:48]
    phase = 2 * np.pi * np.arange(16, 48) / PERIOD
    return -np.arctan2(line @ np.cos(phase), line @ np.sin(phase)) * PERIOD / (2 * np.pi)


def shift_in_file(path, limits, axis):
    source = probe(path, limits=limits)
    (frame,) = decode(path, source, scan(path, source, limits=limits), 0, 1)
    return shift_of(frame, axis)


@pytest.mark.parametrize("axis", [1, 0], ids=["across", "down"])
@pytest.mark.parametrize(
    ("planar", "pix_fmt", "place"),
    [
        ("yuv420p", "yuv420p", "left"),
        ("yuv420p", "yuv420p10le", "left"),
        ("yuv420p", "nv12", "left"),
        ("yuv420p", "nv21", "left"),
        ("yuv420p", "p010le", "left"),
        ("yuv422p", "yuv422p", "left"),
        ("yuv422p", "yuv422p10le", "left"),
        ("yuv422p", "yuyv422", "left"),
        ("yuv422p", "uyvy422", "left"),
        ("yuv422p", "nv16", "left"),
        ("yuv422p", "p210le", "left"),
        ("yuv411p", "yuv411p", "left"),
        ("yuv410p", "yuv410p", "left"),
        ("yuv440p", "yuv440p", "left"),
        ("yuv444p", "yuv444p", "left"),
    ],
)
def test_bars_stay_where_they_are(planar, pix_fmt, place, axis):
    frame = bars(planar, place, axis).reformat(format=pix_fmt)
    with to_rgb(SIDE, SIDE, pix_fmt=pix_fmt, codec="rawvideo", colour=BT709) as converter:
        assert abs(shift_of(converter.convert(frame).to_ndarray(), axis)) < SHIFT_MAX


FILES = {  # name: codec, pixel format, where its samples sit when nothing is said
    "ffv1-422.mkv": ("ffv1", "yuv422p", "left"),
    "ffv1-411.mkv": ("ffv1", "yuv411p", "left"),
    "prores.mov": ("prores_ks", "yuv422p10le", "left"),
    "h264-422.mp4": ("libx264", "yuv422p", "left"),
    "mpeg2-422.mkv": ("mpeg2video", "yuv422p", "topleft"),
    "mpeg1.mkv": ("mpeg1video", "yuv420p", "center"),
    "mjpeg-422.avi": ("mjpeg", "yuvj422p", "center"),
    "mjpeg-420.avi": ("mjpeg", "yuvj420p", "center"),
    "h263.avi": ("h263p", "yuv420p", "center"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", "left"),
}
LOSSLESS = {
    "libx264": {"qp": "0"},
    "libvpx-vp9": {"lossless": "1"},
    "mjpeg": {"q:v": "1"},
    "h263p": {"q:v": "1"},
}


@pytest.mark.parametrize("axis", [1, 0], ids=["across", "down"])
@pytest.mark.parametrize("name", FILES)
def test_a_codecs_custom_is_followed(tmp_path, limits, name, axis):
    codec, pix_fmt, place = FILES[name]
    planar = pix_fmt.removesuffix("10le")
    frame = bars(planar, place, axis).reformat(format=pix_fmt)
    path = make_clip(
        tmp_path / name,
        [frame],
        codec=codec,
        pix_fmt=pix_fmt,
        width=SIDE,
        height=SIDE,
        options=LOSSLESS.get(codec),
        colour={"matrix": 1, "range": 2 if "j" in pix_fmt else 1},
    )
    assert abs(shift_in_file(path, limits, axis)) < SHIFT_MAX


def x264(place):
    return {"qp": "0", "x264-params": f"chromaloc={['left', 'center', 'topleft', 'top'].index(place)}"}


STATED = {  # file name: codec, how its encoder is told
    "h264.mp4": ("libx264", x264),
    "h264.mkv": ("libx264", x264),
    "h264.avi": ("libx264", x264),
    "ffv1.mkv": ("ffv1", lambda place: {"chroma_sample_location": place}),
}


@pytest.mark.parametrize("axis", [1, 0], ids=["across", "down"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", STATED)
def test_a_place_that_the_file_states_is_followed(tmp_path, limits, name, place, axis):
    codec, options = STATED[name]
    path = make_clip(
        tmp_path / name,
        [bars("yuv420p", place, axis)],
        codec=codec,
        width=SIDE,
        height=SIDE,
        options=options(place),
        colour={"matrix": 1, "range": 1},
    )
    assert abs(shift_in_file(path, limits, axis)) < SHIFT_MAX


def test_a_place_stated_by_av1_is_followed(tmp_path, limits):
    """The two that AV1 knows; its encoder is no lossless one."""
    for name, place in {"vertical": "left", "colocated": "topleft"}.items():
        path = make_clip(
            tmp_path / f"{name}.mp4",
            [bars("yuv420p", place, 0)],
            codec="libsvtav1",
            width=SIDE,
            height=SIDE,
            options={"crf": "1", "preset": "10", "svtav1-params": f"chroma-sample-position={name}"},
            colour={"matrix": 1, "range": 1},
        )
        assert abs(shift_in_file(path, limits, 0)) < 0.1, place
