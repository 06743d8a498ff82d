"""Clips with what is derived from them, and the orders in which their frames are played.

Motion by OpenCV's DIS is computed on whole low-resolution frames, as serving does it, and kept: a pair is
estimated once however often its crops are drawn. On a crop alone it would cost as much and know less. Where
the degradation is drawn nothing can be kept, since no two rows see the same low frames (blind.py).
"""

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model_core.config import SCALE
from model_core.dis import DisFlow
from training.config import EvaluationName, ProtocolName
from training.data.camera import draw_path, render
from training.data.sources import Clip, Library
from training.degradations.protocols import make_low

PHOTO_SIDE: Final = 256  # high-resolution pixels of a photograph's clip that validates
GAIN: Final = (0.75, 1.05)
GAMMA: Final = (0.75, 1.35)
HELD_SHARE: Final = 0.2  # of rows, in which one frame is held: what a recurrence adds to itself grows there
STRIDE_SHARE: Final = 0.3  # of rows whose clip is long enough to show every second frame
VALIDATION_FRAMES: Final = 32  # what a recurrence adds up over time shows after some twenty


@dataclass(slots=True, eq=False)
class Sequence:
    """One level of a clip with what is derived from it. Used by one thread at a time."""

    name: str
    target: NDArray[np.uint8]  # (T, H, W, 3)
    low: NDArray[np.uint8]  # (T, h, w, 3)
    detail: NDArray[np.float64]  # (h + 1, w + 1) integral of the middle frame's fine detail
    motion: float  # mean length of the motion in its middle, low-resolution pixels a frame
    flows: dict[tuple[int, int], NDArray[np.float16]] = field(default_factory=dict)

    def flow(self, dis: DisFlow, before: int, here: int) -> NDArray[np.float16]:
        """(2, h, w) low-resolution pixels from frame `here` back to frame `before`."""
        if (before, here) not in self.flows:
            self.flows[before, here] = dis(self.low[before], self.low[here]).astype(np.float16)
        return self.flows[before, here]


def make_sequence(name: str, frames: NDArray[np.uint8], protocol: ProtocolName | EvaluationName) -> Sequence:
    height, width = (side // SCALE * SCALE for side in frames.shape[1:3])
    target = frames[:, :height, :width]
    low = make_low(name, target, protocol)
    luma = cv2.cvtColor(target[len(target) // 2], cv2.COLOR_RGB2GRAY)
    detail = cv2.resize(
        np.abs(cv2.Laplacian(luma, cv2.CV_32F)), low.shape[2:0:-1], interpolation=cv2.INTER_AREA
    )
    return Sequence(name, target, low, cv2.integral(detail), _motion(low))


def _motion(low: NDArray[np.uint8]) -> float:
    if len(low) < 2:
        return 0.0
    here = len(low) // 2
    flow = DisFlow("dis-fast")(low[here - 1], low[here])
    return float(np.hypot(flow[0], flow[1]).mean())


def exposed(rng: np.random.Generator, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same frames under another exposure and gamma, as another camera would have taken them."""
    gain, gamma = rng.uniform(*GAIN), np.exp(rng.uniform(*np.log(GAMMA)))
    levels = 255 * np.minimum(gain * (np.arange(256) / 255) ** gamma, 1)
    return np.asarray(levels.round().astype(np.uint8)[frames])


def photo_clip(
    rng: np.random.Generator, photo: NDArray[np.uint8], frames: int, side: int
) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8: a photograph under a random camera path."""
    path = draw_path(rng, frames=frames, height=side, width=side, photo=(photo.shape[0], photo.shape[1]))
    return render(photo, path)


def shown_order(rng: np.random.Generator, length: int, frames: int) -> list[int]:
    """The `frames` indices that a row shows: one held all along, or as `play_order` draws them."""
    if rng.uniform() < HELD_SHARE:
        return [int(rng.integers(length))] * frames
    return play_order(rng, length, frames)


def play_order(rng: np.random.Generator, length: int, frames: int) -> list[int]:
    """`frames` indices one or two apart, forwards or backwards, turning round in too short a clip."""
    stride = 2 if length > 2 * (frames - 1) and rng.uniform() < STRIDE_SHARE else 1
    span = stride * (frames - 1) + 1
    start = int(rng.integers(max(1, length - span + 1)))
    order = list(range(start, start + span, stride)) if span <= length else to_and_fro(length, frames)
    return order[::-1] if rng.uniform() < 0.5 else order


def to_and_fro(length: int, frames: int, start: int = 0) -> list[int]:
    """`frames` indices from `start` on, turning round at the ends as often as it takes."""
    ring = [*range(length), *range(length - 2, 0, -1)]
    return [ring[(start + i) % len(ring)] for i in range(frames)]


def forth_and_back(order: list[int]) -> list[int]:
    """a, b, c -> a, b, c, b, a: the last one turns round and is not played twice."""
    return order + order[-2::-1]


def validation_sequences(
    library: Library, protocol: ProtocolName, *, frames: int = VALIDATION_FRAMES
) -> list[Sequence]:
    """The held-out clips at their smallest level, all equally long; a photograph under a fixed path where
    there is none.
    """
    smallest: dict[str, Clip] = {}
    for clip in library.held_out:
        if clip.name not in smallest or clip.frames[0].size < smallest[clip.name].frames[0].size:
            smallest[clip.name] = clip
    clips = list(smallest.values())
    if not clips and library.photos:
        shown = photo_clip(np.random.default_rng(0), library.photos[0], VALIDATION_FRAMES, PHOTO_SIDE)
        clips = [Clip("photo", shown)]
    return [
        make_sequence(clip.name, clip.frames[to_and_fro(len(clip.frames), frames)], protocol)
        for clip in clips
    ]
