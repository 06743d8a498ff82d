"""Video compression of clips in memory: x264 and x265 through PyAV, one factor of the blind degradation.

PyAV is imported where it is used: a bare machine may train without it (`codec_missing`). The same clip gives
the same bytes: one thread, and SAFE_PRESETS. Not here: which codec, how often (bsrgan.py).
"""

import importlib.util
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.degradations.kernels import Frames
from training.degradations.noise import from_levels, to_levels

CodecName = Literal["libx264", "libx265"]

DECODERS: Final[dict[CodecName, str]] = {"libx264": "h264", "libx265": "hevc"}
# Chroma of 4:2:0 needs even sides. x265 4.2 writes past its arrays (Lookahead::cuTree) on small frames, 48x48
# for one, and the process dies later; valgrind finds nothing from 64x64 on.
MULTIPLES: Final[dict[CodecName, int]] = {"libx264": 2, "libx265": 64}
# The assembly of both codecs' macroblock trees reads memory that nobody wrote, so bytes differ between runs:
# x264 (core 165) goes without assembly, at no cost on small frames, and x265 without the tree. From preset
# "veryfast" on x265 has more such places. 12 runs each of 90 random clips agree within SAFE_PRESETS.
OPTIONS: Final[dict[CodecName, dict[str, str]]] = {
    "libx264": {"x264-params": "asm=0"},
    "libx265": {"x265-params": "log-level=none:pools=none:frame-threads=1:cutree=0"},
}
SAFE_PRESETS: Final[dict[CodecName, tuple[str, ...]]] = {
    "libx264": ("ultrafast", "veryfast", "fast", "medium", "slow"),
    "libx265": ("ultrafast", "superfast"),
}


class CodecMissingError(RuntimeError):
    """PyAV is not installed."""


@dataclass(frozen=True, slots=True)
class Compression:
    """The whole clip as one video, at constant quality."""

    codec: CodecName
    crf: int
    preset: str

    def apply(self, _: Generator, frames: Frames) -> Frames:
        return from_levels(compress(to_levels(frames), self.codec, crf=self.crf, preset=self.preset))


def codec_missing() -> bool:
    return importlib.util.find_spec("av") is None


def compress(frames: NDArray[np.uint8], codec: CodecName, *, crf: int, preset: str) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 RGB -> the same, encoded and decoded. Raises CodecMissingError."""
    if preset not in SAFE_PRESETS[codec]:
        raise ValueError(f"preset is {preset!r}; with {codec} one of {SAFE_PRESETS[codec]} is expected")
    if codec_missing():
        raise CodecMissingError(f"{codec} needs PyAV (the package `av`), which is not installed")
    height, width = frames.shape[1:3]
    down, right = (-side % MULTIPLES[codec] for side in (height, width))
    padded = np.pad(frames, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge")
    packets = _encode(padded, codec, {"crf": str(crf), "preset": preset, **OPTIONS[codec]})
    found = _decode(packets, DECODERS[codec])
    if len(found) != len(frames):
        raise RuntimeError(f"{codec} returned {len(found)} of {len(frames)} frames")
    return np.stack(found)[:, :height, :width]


def _encode(frames: NDArray[np.uint8], codec: CodecName, options: dict[str, str]) -> list[Any]:
    import av  # noqa: PLC0415 (see the header)

    av.logging.set_level(None)
    encoder = av.VideoCodecContext.create(codec, "w")
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    encoder.options = options
    packets = []
    for index, frame in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
        picture.pts = index
        packets += encoder.encode(picture)
    return [*packets, *encoder.encode(None)]


def _decode(packets: list[Any], name: str) -> list[NDArray[np.uint8]]:
    import av  # noqa: PLC0415 (see the header)

    decoder: Any = av.VideoCodecContext.create(name, "r")
    decoder.thread_count = 1
    pictures = [picture for packet in [*packets, None] for picture in decoder.decode(packet)]
    return [np.asarray(picture.to_ndarray(format="rgb24"), np.uint8) for picture in pictures]
