"""Draws batches from a library in memory, each a pure function of seed and step.

Row r of step i is drawn by its own generator, seeded with (seed, i, r). So a resumed run sees the same data,
two processes that share a batch see its two halves, and no random state needs storing. Start reading at
`Sampler.batch`.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from model_core.config import SCALE
from model_core.dis import DisFlow
from training.config import TrainingConfig
from training.data.batches import Batch, Row, collate
from training.data.camera import render_two_layers
from training.data.sequences import (
    Sequence,
    exposed,
    forth_and_back,
    make_sequence,
    photo_clip,
    shown_order,
)
from training.data.sources import Library
from training.degradations.blind import degrade_crop, motion
from training.degradations.bsrgan import apply_steps
from training.degradations.codec import codec_missing
from training.degradations.kernels import Pick
from training.degradations.linear import degrade_frames
from training.degradations.protocols import DRAWN

CPU: Final = torch.device("cpu")
CANDIDATES: Final = 3  # crops drawn, of which the one with most detail is taken: flat sky teaches nothing
PHOTO_MARGIN: Final = 8  # low-resolution pixels around a crop of a photograph: motion is found there too
LAYERS_SHARE: Final = 0.3  # of photographs' clips; a second one moves in front of the first
WEIGHT_STILL: Final = 0.3  # how often a clip without motion is drawn, as a part of one that moves
MOTION_ENOUGH: Final = 1.5  # low-resolution pixels a frame; more motion is not drawn more often
SLIDE_MOTION_MAX: Final = 0.2  # low-resolution pixels a frame; the crop slides over clips that move less
SLIDE_SHARE: Final = 0.5  # of their rows


class Sampler:
    """Draws the batches of a run onto its device. Not thread-safe; `prefetch` gives it its own thread."""

    def __init__(self, library: Library, config: TrainingConfig, device: torch.device = CPU) -> None:
        self._config, self._device = config, device
        self._dis = DisFlow(config.model.flow) if config.model.flow_comes_along else None
        self._codec = not codec_missing()
        self._drawn = DRAWN.get(config.data.protocol)
        self._clips = [make_sequence(clip.name, clip.frames, config.data.linear) for clip in library.clips]
        self._photos = library.photos
        # What judges by VGG's eyes or D's must see natural colours.
        self._recolours = config.model.recurrent and not (
            config.losses.vgg_weight or config.losses.gan_weight
        )
        self._stills: dict[int, Sequence] = {}
        motion = np.array([sequence.motion for sequence in self._clips])
        self._clip_weights = WEIGHT_STILL + np.minimum(motion, MOTION_ENOUGH) / MOTION_ENOUGH
        if config.task == "flow" and not library.photos:
            raise ValueError("flow is learned from photographs, and there are none")
        self._photo_share = 1.0 if not self._clips else config.data.photo_share if self._photos else 0.0

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
        sequence = self._sequence(rng, frames, crop)
        y, x = detailed_place(rng, sequence, crop)
        order = shown_order(rng, len(sequence.low), frames)
        turn, colours = int(rng.integers(8)), rng.permutation(3) if self._recolours else np.arange(3)
        if self._drawn:
            played = [sequence.target[t][..., colours] for t in order]
            draw_steps = partial(self._drawn, codec=self._codec)
            wide, inner, steps = degrade_crop(draw_steps, rng, played, (y, x), crop)
            target = np.stack([frame[high_crop((y, x), crop)] for frame in played])
            flow = None if self._dis is None else motion(self._dis, wide, self._pairs(range(frames)), inner)
            picked = any(isinstance(step, Pick) for step in steps)
            return Row(
                target, wide[:, *inner], flow, turn, self._config.losses.picked_factor if picked else 1.0
            )
        places = slide(rng, sequence, (y, x), crop, frames)
        shown = list(zip(order, places, strict=True))
        target = np.stack([sequence.target[t][high_crop(at, crop)] for t, at in shown])
        low = np.stack([sequence.low[t][low_crop(at, crop)] for t, at in shown])
        flow = None if self._dis is None else self._flow(sequence, order, places, crop)
        return Row(target[..., colours], low[..., colours], flow, turn)

    def _flow(
        self, sequence: Sequence, order: list[int], places: list[tuple[int, int]], crop: int
    ) -> NDArray[np.float32]:
        """(F, 2, h, w) between crops that lie at `places` of the frames in `order`."""
        assert self._dis is not None
        found = []
        for before, here in self._pairs(range(len(order))):
            whole = sequence.flow(self._dis, order[before], order[here])
            flow = whole[:, *low_crop(places[here], crop)].astype(np.float32)
            (y, x), (y_before, x_before) = places[here], places[before]
            found.append(flow + np.array([x - x_before, y - y_before], np.float32)[:, None, None])
        return np.stack(found)

    def _pairs(self, steps: Iterable[int]) -> list[tuple[int, int]]:
        """(before, here) for each motion that a row of those steps needs."""
        played = list(steps)
        return list(pairwise(forth_and_back(played) if self._config.moves_both_ways else played))

    def _flow_row(self, rng: np.random.Generator, frames: int, crop: int) -> Row:
        """Two photographs in known motion; rendered afresh, since here every pair should be a new one."""
        one, two = (self._photos[rng.integers(len(self._photos))] for _ in range(2))
        target, flow = render_two_layers(rng, (one, two), frames, crop * SCALE)
        if self._drawn:
            low = apply_steps(rng, self._drawn(rng, *target.shape[:3], codec=self._codec), target)
        else:
            low = degrade_frames(torch.from_numpy(target), self._config.data.linear).numpy()
        return Row(target, low, flow, int(rng.integers(8)))

    def _sequence(self, rng: np.random.Generator, frames: int, crop: int) -> Sequence:
        fitting = [min(s.low.shape[1:3]) >= crop and len(s.low) > 1 for s in self._clips]
        if any(fitting) and rng.uniform() >= self._photo_share:
            weights = self._clip_weights * fitting
            return self._clips[rng.choice(len(weights), p=weights / weights.sum())]
        if not self._config.model.recurrent:
            return self._still(rng, crop)
        side = SCALE * (crop + 2 * PHOTO_MARGIN)
        if not self._photos:
            raise ValueError(f"crop is {crop}: no clip holds it, and there are no photographs")
        photos = [self._photos[rng.integers(len(self._photos))] for _ in range(2)]
        if rng.uniform() < LAYERS_SHARE:
            shown, _ = render_two_layers(rng, (photos[0], photos[1]), frames, side)
        else:
            shown = photo_clip(rng, photos[0], frames, side)
        return make_sequence("photo", exposed(rng, shown), self._config.data.linear)

    def _still(self, rng: np.random.Generator, crop: int) -> Sequence:
        """A photograph as it is."""
        fitting = [i for i, photo in enumerate(self._photos) if min(photo.shape[:2]) >= crop * SCALE]
        if not fitting:
            raise ValueError(f"crop is {crop}: no photograph holds it")
        index = fitting[rng.integers(len(fitting))]
        if index not in self._stills:
            frames = self._photos[index][None]
            self._stills[index] = make_sequence(f"photo {index}", frames, self._config.data.linear)
        return self._stills[index]


def detailed_place(rng: np.random.Generator, sequence: Sequence, crop: int) -> tuple[int, int]:
    """(y, x) of a random crop, the most detailed of a few."""
    ys, xs = (rng.integers(side - crop + 1, size=CANDIDATES) for side in sequence.low.shape[1:3])
    d = sequence.detail
    best = int((d[ys + crop, xs + crop] - d[ys, xs + crop] - d[ys + crop, xs] + d[ys, xs]).argmax())
    return int(ys[best]), int(xs[best])


def slide(
    rng: np.random.Generator, sequence: Sequence, place: tuple[int, int], crop: int, frames: int
) -> list[tuple[int, int]]:
    """The place of the crop in each frame. Over a clip that hardly moves it slides, at times, by a pixel a
    frame in each direction, as far as the clip reaches."""
    if sequence.motion > SLIDE_MOTION_MAX or rng.uniform() >= SLIDE_SHARE:
        return [place] * frames
    ys, xs = (
        np.clip(start + np.arange(frames) * rng.integers(-1, 2), 0, side - crop)
        for start, side in zip(place, sequence.low.shape[1:3], strict=True)
    )
    return [(int(y), int(x)) for y, x in zip(ys, xs, strict=True)]


def low_crop(place: tuple[int, int], crop: int) -> tuple[slice, slice]:
    y, x = place
    return slice(y, y + crop), slice(x, x + crop)


def high_crop(place: tuple[int, int], crop: int) -> tuple[slice, slice]:
    y, x = place
    return low_crop((y * SCALE, x * SCALE), crop * SCALE)


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
