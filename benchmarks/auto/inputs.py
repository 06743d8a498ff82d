"""What people upload, made of clips whose truth is known: each made small and spoilt in one known way.

Files, because what a stream says of itself is part of what `model=auto` goes by. Not here: scores (auto.py).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model_core.config import SCALE
from training.data.sources import VIDEO_SUFFIXES, decode_video, is_held_out, shrink
from training.degradations.kernels import pick
from training.degradations.linear import degrade_frames
from worker.media.writing.atomic import written_whole

Frames = NDArray[np.uint8]

SIDE_MIN: Final = 64  # low pixels: x265 writes past its arrays on smaller frames
LEVELS: Final = (1 / 2, 2 / 3, 1)  # the smallest that leaves so many is taken: web video is soft at full size
FRAMES: Final = 8  # from the middle of a clip
EVEN: Final = 2 * SCALE  # chroma of 4:2:0 needs even sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One way of spoiling a clip.

    codec    FFmpeg's encoder of a video, or OpenCV's suffix of a picture
    shrunk   by the frozen protocol's blur ("bd"), by antialiased bicubic as players and editors do ("bi"), or
             by taking every fourth pixel ("picked")
    """

    codec: str = "ffv1"
    options: dict[str, str] = field(default_factory=dict)
    noise: float = 0.0  # levels
    shrunk: Literal["bd", "bi", "picked"] = "bd"
    quality: int = 0  # of a JPEG

    @property
    def is_picture(self) -> bool:
        return self.codec.startswith(".")


def _x264(crf: int) -> Input:
    return Input(codec="libx264", options={"crf": str(crf), "preset": "medium"})


def _jpeg(quality: int) -> Input:
    return Input(codec=".jpg", quality=quality)


INPUTS: Final = {
    "clean": Input(),
    "x264 CRF 18": _x264(18),
    "x264 CRF 23": _x264(23),
    "x264 CRF 28": _x264(28),
    "x264 CRF 35": _x264(35),
    "x265 CRF 28": Input(
        codec="libx265", options={"crf": "28", "preset": "fast", "x265-params": "log-level=none"}
    ),
    "AV1 CRF 40": Input(codec="libsvtav1", options={"crf": "40", "preset": "8"}),
    "noise of 5 levels": Input(noise=5),
    "noise of 10 levels": Input(noise=10),
    "not blurred": Input(shrunk="picked"),
    "bicubic": Input(shrunk="bi"),
    "bicubic, x264 CRF 20": replace(_x264(20), shrunk="bi"),
    "noise of 5 levels, x264 CRF 18": replace(_x264(18), noise=5),
    "noise of 10 levels, x264 CRF 23": replace(_x264(23), noise=10),
    "picture, clean": Input(codec=".png"),
    "picture, bicubic": Input(codec=".png", shrunk="bi"),
    "picture, JPEG 90": _jpeg(90),
    "picture, JPEG 75": _jpeg(75),
    "picture, JPEG 50": _jpeg(50),
    "picture, JPEG 30": _jpeg(30),
    "picture, noise of 10 levels": Input(codec=".png", noise=10),
}


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    name: str
    frames: Frames  # (T, H, W, 3) RGB


def held_out(data: Path, *, frames: int = FRAMES) -> Iterator[Truth]:
    """Clips that no training saw, made so small that they are sharp, from the middle of each."""
    for file in sorted(data.rglob("*")):
        if file.suffix.lower() in VIDEO_SUFFIXES and is_held_out(file.stem):
            clip = decode_video(file)
            first = (len(clip) - min(frames, len(clip))) // 2
            clip = clip[first : first + frames]
            short = min(clip.shape[1:3])
            level = next((each for each in LEVELS if short * each >= SIDE_MIN * SCALE), 1)
            small = clip if level == 1 else shrink(clip, level)
            height, width = (side // EVEN * EVEN for side in small.shape[1:3])
            yield Truth(file.stem, small[:, :height, :width])


def write_input(truth: Truth, how: Input, path: Path) -> None:
    """The clip, or its middle frame, as a sender would have it."""
    target = truth.frames[len(truth.frames) // 2][None] if how.is_picture else truth.frames
    if how.shrunk == "picked":
        low = pick(target, SCALE)
    else:
        low = np.concatenate(
            [degrade_frames(torch.from_numpy(frame[None]), how.shrunk).numpy() for frame in target]
        )
    if how.noise:
        rng = np.random.default_rng(zlib.crc32(truth.name.encode()))
        noisy = low + how.noise * rng.standard_normal(low.shape, dtype=np.float32)
        low = noisy.round().clip(0, 255).astype(np.uint8)
    with written_whole(path) as aside:
        if how.is_picture:
            options = [cv2.IMWRITE_JPEG_QUALITY, how.quality] if how.quality else []
            written, code = cv2.imencode(how.codec, np.ascontiguousarray(low[0, ..., ::-1]), options)
            assert written
            aside.write_bytes(code.tobytes())
        else:
            _write_video(low, how, aside)


def _write_video(low: Frames, how: Input, path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream(how.codec, rate=Fraction(25), options=how.options)
        stream.height, stream.width = low.shape[1:3]
        stream.pix_fmt = "bgr0" if how.codec == "ffv1" else "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in low:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
