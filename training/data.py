"""Batches: from a library in memory to (low, target, flow) clips, each a pure function of seed and step.

Row r of step i is drawn by its own generator, seeded with (seed, i, r). So a resumed run sees the same data,
two processes that share a batch see its two halves, and no random state needs storing. Start reading at
`Sampler.batch`.

Motion by OpenCV's DIS is computed on whole low-resolution frames, as serving does it, and kept: a pair is
estimated once however often its crops are drawn. On a crop alone it would cost as much and know less. Under
the blind degradation nothing can be kept, since no two rows see the same low frames (blind.py).

Rows are uint8 until they lie on the device of the run: a quarter of the bytes cross the bus, and what costs
most of a batch, making floats and turning, is done there.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_core.config import SCALE
from model_core.dis import DisFlow
from model_core.pixels import to_float
from training.blind import degrade_crop, motion
from training.codec import codec_missing
from training.config import EvaluationName, ProtocolName, TrainingConfig
from training.degradations import degrade_frames
from training.motion import draw_path, render, render_two_layers
from training.protocols import DRAWN, make_low
from training.sources import Clip, Library

CPU: Final = torch.device("cpu")
PHOTO_SIDE: Final = 256  # high-resolution pixels of a photograph's clip
PHOTO_FRAMES: Final = 12
PHOTO_PATHS: Final = 1  # camera paths per photograph; each is rendered once and kept (0.8 GB for 318)
CANDIDATES: Final = 3  # crops drawn, of which the one with most detail is taken: flat sky teaches nothing
VALIDATION_FRAMES: Final = 32  # what a recurrence adds up over time shows after some twenty


@dataclass(frozen=True, slots=True)
class Batch:
    """low (N, T, 3, h, w), target (N, T, 3, H, W) float RGB in [0, 1]; flow as in Row, or None."""

    low: Tensor
    target: Tensor
    flow: Tensor | None


@dataclass(frozen=True, slots=True)
class Row:
    """One clip of a batch, uint8, time first: target (T, H, W, 3), low (T, h, w, 3), flow (F, 2, h, w).

    F is T-1, or 2T-2 where motion both ways is wanted: that of the clip played forth and back.
    turn   how the batch shows it: flipped in x for 1, in y for 2, then both axes exchanged for 4, or a sum
    """

    target: NDArray[np.uint8]
    low: NDArray[np.uint8]
    flow: NDArray[np.float32] | None
    turn: int


@dataclass(slots=True, eq=False)
class Sequence:
    """One level of a clip with what is derived from it. Used by one thread at a time."""

    name: str
    target: NDArray[np.uint8]  # (T, H, W, 3)
    low: NDArray[np.uint8]  # (T, h, w, 3)
    detail: NDArray[np.float64]  # (h + 1, w + 1) integral of the middle frame's fine detail
    flows: dict[tuple[int, int], NDArray[np.float16]] = field(default_factory=dict)

    def flow(self, dis: DisFlow, before: int, here: int) -> NDArray[np.float16]:
        """(2, h, w) low-resolution pixels from frame `here` back to frame `before`."""
        if (before, here) not in self.flows:
            self.flows[before, here] = dis(self.low[before], self.low[here]).astype(np.float16)
        return self.flows[before, here]


class Sampler:
    """Draws the batches of a run onto its device. Not thread-safe; `prefetch` gives it its own thread."""

    def __init__(self, library: Library, config: TrainingConfig, device: torch.device = CPU) -> None:
        self._config, self._device = config, device
        self._dis = DisFlow() if config.flow == "dis" else None
        self._codec = not codec_missing()
        self._drawn = DRAWN.get(config.protocol)
        self._clips = [make_sequence(clip.name, clip.frames, config.linear) for clip in library.clips]
        self._photos = library.photos
        self._rendered: dict[tuple[int, int], Sequence] = {}
        self._stills: dict[int, Sequence] = {}
        if config.task == "flow" and not library.photos:
            raise ValueError("flow is learned from photographs, and there are none")
        self._photo_share = 1.0 if not self._clips else config.photo_share if self._photos else 0.0

    def batch(self, step: int, shape: tuple[int, int, int], *, rank: int = 0, ranks: int = 1) -> Batch:
        """The rows of this process; `shape` is (batch, frames, crop) over all of them."""
        count, frames, crop = shape
        if count % ranks:
            raise ValueError(f"batch is {count}: {ranks} processes can't share it evenly")
        share = range(rank * count // ranks, (rank + 1) * count // ranks)
        rows = [self._row(np.random.default_rng((self._config.seed, step, r)), frames, crop) for r in share]
        return collate(rows, self._device)

    def _row(self, rng: np.random.Generator, frames: int, crop: int) -> Row:
        if self._config.task == "flow":
            return self._flow_row(rng, frames, crop)
        sequence = self._sequence(rng, crop)
        y, x = detailed_place(rng, sequence, crop)
        order = play_order(rng, len(sequence.low), frames)
        turn = int(rng.integers(8))
        high = slice(y * SCALE, (y + crop) * SCALE), slice(x * SCALE, (x + crop) * SCALE)
        target = np.stack([sequence.target[t][high] for t in order])
        if self._drawn:
            degrade = partial(self._drawn, rng, codec=self._codec)
            wide, low = degrade_crop(degrade, [sequence.target[t] for t in order], (y, x), crop)
            pairs = self._pairs(list(range(frames)))
            flow = None if self._dis is None else motion(self._dis, wide, pairs, low)
            return Row(target, wide[:, *low], flow, turn)
        low = slice(y, y + crop), slice(x, x + crop)
        flow = None
        if self._dis is not None:
            found = [sequence.flow(self._dis, a, b)[:, *low] for a, b in self._pairs(order)]
            flow = np.stack(found).astype(np.float32)
        return Row(target, np.stack([sequence.low[t][low] for t in order]), flow, turn)

    def _pairs(self, order: list[int]) -> list[tuple[int, int]]:
        """(before, here) for each motion that a row needs."""
        return list(pairwise(forth_and_back(order) if self._config.moves_both_ways else order))

    def _flow_row(self, rng: np.random.Generator, frames: int, crop: int) -> Row:
        """Two photographs in known motion; rendered afresh, since here every pair should be a new one."""
        one, two = (self._photos[rng.integers(len(self._photos))] for _ in range(2))
        target, flow = render_two_layers(rng, (one, two), frames, crop * SCALE)
        if self._drawn:
            low = self._drawn(rng, target, codec=self._codec)
        else:
            low = degrade_frames(torch.from_numpy(target), self._config.linear).numpy()
        return Row(target, low, flow, int(rng.integers(8)))

    def _sequence(self, rng: np.random.Generator, crop: int) -> Sequence:
        fitting = [s for s in self._clips if min(s.low.shape[1:3]) >= crop and len(s.low) > 1]
        if fitting and rng.uniform() >= self._photo_share:
            return fitting[rng.integers(len(fitting))]
        if not self._config.recurrent:
            return self._still(rng, crop)
        if not self._photos or crop * SCALE > PHOTO_SIDE:
            raise ValueError(f"crop is {crop}: no clip and no photograph holds it")
        key = int(rng.integers(len(self._photos))), int(rng.integers(PHOTO_PATHS))
        if key not in self._rendered:
            self._rendered[key] = self._render(*key)
        return self._rendered[key]

    def _still(self, rng: np.random.Generator, crop: int) -> Sequence:
        """A photograph as it is."""
        fitting = [i for i, photo in enumerate(self._photos) if min(photo.shape[:2]) >= crop * SCALE]
        if not fitting:
            raise ValueError(f"crop is {crop}: no photograph holds it")
        index = fitting[rng.integers(len(fitting))]
        if index not in self._stills:
            frames = self._photos[index][None]
            self._stills[index] = make_sequence(f"photo {index}", frames, self._config.linear)
        return self._stills[index]

    def _render(self, photo_index: int, path_index: int) -> Sequence:
        rng = np.random.default_rng((self._config.seed, photo_index, path_index, 1))
        frames = photo_clip(rng, self._photos[photo_index], PHOTO_FRAMES, PHOTO_SIDE)
        return make_sequence(f"photo {photo_index}", frames, self._config.linear)


def detailed_place(rng: np.random.Generator, sequence: Sequence, crop: int) -> tuple[int, int]:
    """(y, x) of a random crop, the most detailed of a few."""
    ys, xs = (rng.integers(side - crop + 1, size=CANDIDATES) for side in sequence.low.shape[1:3])
    d = sequence.detail
    best = int((d[ys + crop, xs + crop] - d[ys, xs + crop] - d[ys + crop, xs] + d[ys, xs]).argmax())
    return int(ys[best]), int(xs[best])


def photo_clip(
    rng: np.random.Generator, photo: NDArray[np.uint8], frames: int, side: int
) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8: a photograph under a random camera path."""
    path = draw_path(rng, frames=frames, height=side, width=side, photo=(photo.shape[0], photo.shape[1]))
    return render(photo, path)


def make_sequence(name: str, frames: NDArray[np.uint8], protocol: ProtocolName | EvaluationName) -> Sequence:
    height, width = (side // SCALE * SCALE for side in frames.shape[1:3])
    target = np.ascontiguousarray(frames[:, :height, :width])
    low = make_low(name, target, protocol)
    luma = cv2.cvtColor(target[len(target) // 2], cv2.COLOR_RGB2GRAY)
    detail = cv2.resize(
        np.abs(cv2.Laplacian(luma, cv2.CV_32F)), low.shape[2:0:-1], interpolation=cv2.INTER_AREA
    )
    return Sequence(name, target, low, cv2.integral(detail))


def play_order(rng: np.random.Generator, length: int, frames: int) -> list[int]:
    """`frames` consecutive indices, turning round at the ends of a clip that is too short for them.

    Never backwards from the start: motion both ways costs double, and only TecoGAN's losses need it.
    """
    return to_and_fro(length, frames, int(rng.integers(max(1, length - frames + 1))))


def to_and_fro(length: int, frames: int, start: int = 0) -> list[int]:
    """`frames` indices from `start` on, turning round at the ends as often as it takes."""
    ring = [*range(length), *range(length - 2, 0, -1)]
    return [ring[(start + i) % len(ring)] for i in range(frames)]


def forth_and_back(order: list[int]) -> list[int]:
    """a, b, c -> a, b, c, b, a: the last one turns round and is not played twice."""
    return order + order[-2::-1]


def collate(rows: list[Row], device: torch.device) -> Batch:
    turns = [row.turn for row in rows]
    low = _pictures([row.low for row in rows], turns, device)
    target = _pictures([row.target for row in rows], turns, device)
    flows = [turn_flow(row.flow, row.turn) for row in rows if row.flow is not None]
    flow = _upload(np.stack(flows), device) if len(flows) == len(rows) else None
    return Batch(low, target, flow)


def turn_flow(flow: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """(F, 2, h, w) of a turned clip: the components move with the axes."""
    flow = flow[:, :, :: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
    flow = flow * np.array([-1 if turn & 1 else 1, -1 if turn & 2 else 1], np.float32)[:, None, None]
    return flow[:, ::-1].swapaxes(2, 3) if turn & 4 else flow


def _pictures(clips: list[NDArray[np.uint8]], turns: list[int], device: torch.device) -> Tensor:
    """Clips (T, H, W, 3) -> (N, T, 3, H, W) float, turned, on the device."""
    frames = _upload(np.stack(clips), device)
    turned = torch.stack([_turn(clip, turn) for clip, turn in zip(frames, turns, strict=True)])
    return to_float(turned.flatten(0, 1)).view(*turned.shape[:2], 3, *turned.shape[2:4])


def _turn(clip: Tensor, turn: int) -> Tensor:
    """(T, H, W, 3)."""
    axes = [axis for bit, axis in ((1, 2), (2, 1)) if turn & bit]
    clip = clip.flip(axes) if axes else clip
    return clip.transpose(1, 2) if turn & 4 else clip


def _upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """From pinned memory on CUDA, so that the loader's thread waits for none of the work queued there."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


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


def prefetch(make: Callable[[int], Batch], start: int, *, depth: int = 2) -> Generator[Batch, None, None]:
    """Batches of steps start, start + 1, ... made in a thread; what it raises is raised here."""
    ready: queue.Queue[Batch | BaseException] = queue.Queue(depth)
    stopped = threading.Event()

    def offer(item: Batch | BaseException) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        step = start
        try:
            while not stopped.is_set():
                offer(make(step))
                step += 1
        except BaseException as error:  # noqa: BLE001 (raised again by the consumer)
            offer(error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
