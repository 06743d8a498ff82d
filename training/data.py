"""Draws batches from a library in memory, each a pure function of seed and step.

Row r of step i is drawn by its own generator, seeded with (seed, i, r). So a resumed run sees the same data,
two processes that share a batch see its two halves, and no random state needs storing. Start reading at
`Sampler.batch`.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
import torch

from model_core.config import SCALE
from model_core.dis import DisFlow
from training.batches import Batch, Row, collate
from training.blind import degrade_crop, motion
from training.bsrgan import apply_plan
from training.codec import codec_missing
from training.config import TrainingConfig
from training.degradations import degrade_frames
from training.kernels import Pick
from training.motion import render_two_layers
from training.protocols import DRAWN
from training.sequences import (
    PHOTO_SIDE,
    Sequence,
    forth_and_back,
    make_sequence,
    photo_clip,
    play_order,
)
from training.sources import Library

CPU: Final = torch.device("cpu")
CANDIDATES: Final = 3  # crops drawn, of which the one with most detail is taken: flat sky teaches nothing
PHOTO_FRAMES: Final = 12
PHOTO_PATHS: Final = 1  # camera paths per photograph; each is rendered once and kept (0.8 GB for 318)


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
            played = [sequence.target[t] for t in order]
            draw_plan = partial(self._drawn, codec=self._codec)
            wide, low, plan = degrade_crop(draw_plan, rng, played, (y, x), crop)
            pairs = self._pairs(list(range(frames)))
            flow = None if self._dis is None else motion(self._dis, wide, pairs, low)
            picked = any(isinstance(step, Pick) for step in plan)
            return Row(target, wide[:, *low], flow, turn, self._config.picked_factor if picked else 1.0)
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
            low = apply_plan(rng, self._drawn(rng, *target.shape[:3], codec=self._codec), target)
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
