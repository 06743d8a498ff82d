"""Tiles: a frame too large for one call of G is run in parts, with the result of one call.

Each tile brings a halo as wide as G's receptive field, so every pixel that is kept has seen all it would have
seen; kept centres are pasted, never blended. All tiles of a frame have one size, so that what is prepared for
a size is prepared once. Only G runs in tiles: flow, warp and state are of the whole frame.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from model_core.config import SCALE

KEPT_SIDE_MIN = 16  # narrower centres would spend nearly all work on halos

# A deep network could see further, 23 RRDB blocks 349 pixels: such halos leave a tile no centre, and a
# 1920x1080 frame would be computed a thousand times over. The farther, the fainter: with 6 blocks of random
# weights nothing beyond 64 moves a level (test_tiles). No published weights were at hand to measure.
HALO_MAX: Final = 64

Window = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True, slots=True)
class Tile:
    """What G sees of a frame, and the centre of it that is kept, in low-resolution pixels of the frame."""

    seen: Window
    kept: Window

    @property
    def centre(self) -> Window:
        """`kept` as counted from the first pixel that is seen."""
        rows, columns = (
            slice(kept.start - seen.start, kept.stop - seen.start)
            for kept, seen in zip(self.kept, self.seen, strict=True)
        )
        return rows, columns


def scaled(window: Window, scale: int) -> Window:
    """The same window of a picture `scale` times larger."""
    rows, columns = (slice(part.start * scale, part.stop * scale) for part in window)
    return rows, columns


def tiles(height: int, width: int, *, halo: int, tile_pixels_max: int) -> list[Tile]:
    """The whole frame as one tile if it has at most `tile_pixels_max` pixels, or tiles that have, where the
    halo leaves room."""
    rows, columns = (1, 1)
    if height * width > tile_pixels_max:
        rows, columns = grid(height, width, halo=halo, tile_pixels_max=tile_pixels_max)
    return [
        Tile((seen_rows, seen_columns), (kept_rows, kept_columns))
        for seen_rows, kept_rows in _spans(height, rows, halo)
        for seen_columns, kept_columns in _spans(width, columns, halo)
    ]


def generate_in_tiles(
    generate: Callable[[Tensor], tuple[Tensor, Tensor]], inputs: Tensor, *, halo: int, tile_pixels_max: int
) -> tuple[Tensor, Tensor]:
    """Equal to `generate(inputs)`, at most `tile_pixels_max` pixels a call where the halo leaves room.

    inputs   (N, C, h, w), what G takes
    Returns  high (N, 3, 4h, 4w), hidden (N, hidden, h, w)
    """
    count, _, height, width = inputs.shape
    if height * width <= tile_pixels_max:
        return generate(inputs)
    whole: tuple[Tensor, Tensor] | None = None
    for tile in tiles(height, width, halo=halo, tile_pixels_max=tile_pixels_max):
        # A copy, since G would otherwise see a view with the strides of the whole frame.
        high, hidden = generate(inputs[(..., *tile.seen)].contiguous(memory_format=torch.channels_last))
        if whole is None:
            whole = (
                high.new_empty(count, high.shape[1], height * SCALE, width * SCALE),
                hidden.new_empty(count, hidden.shape[1], height, width),
            )
        for into, made, scale in zip(whole, (high, hidden), (SCALE, 1), strict=True):
            into[(..., *scaled(tile.kept, scale))] = made[(..., *scaled(tile.centre, scale))]
    assert whole is not None
    return whole


@lru_cache(maxsize=64)
def grid(height: int, width: int, *, halo: int, tile_pixels_max: int) -> tuple[int, int]:
    """Rows and columns of tiles: those that fit with least work in all; if none fits, the smallest."""

    def tile_pixels(rows: int, columns: int) -> int:
        return _seen_length(height, rows, halo) * _seen_length(width, columns, halo)

    grids = [
        (rows, columns)
        for rows in range(1, max(1, height // KEPT_SIDE_MIN) + 1)
        for columns in range(1, max(1, width // KEPT_SIDE_MIN) + 1)
    ]
    fitting = [each for each in grids if tile_pixels(*each) <= tile_pixels_max]
    if not fitting:
        return grids[-1]
    return min(fitting, key=lambda each: each[0] * each[1] * tile_pixels(*each))


def _seen_length(length: int, count: int, halo: int) -> int:
    return min(length, math.ceil(length / count) + 2 * halo)


def _spans(length: int, count: int, halo: int) -> Iterator[tuple[slice, slice]]:
    """Of `count` spans that cover [0, length), their sizes one apart at most: what is seen, what is kept."""
    size = _seen_length(length, count, halo)
    for index in range(count):
        start, stop = index * length // count, (index + 1) * length // count
        first = min(max(0, start - halo), length - size)
        yield slice(first, first + size), slice(start, stop)
