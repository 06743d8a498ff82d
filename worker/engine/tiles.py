"""Tiles: runs G over a frame too large for one call, with the result of one call.

Each tile brings a halo as wide as G's receptive field, so every pixel that is kept has seen all it would have
seen; kept centres are pasted, never blended. Only G runs here: flow, warp and state are of the whole frame.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from model_core.config import SCALE

KEPT_SIDE_MIN = 16  # narrower centres would spend nearly all work on halos


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
    rows, columns = grid(height, width, halo=halo, tile_pixels_max=tile_pixels_max)
    whole: tuple[Tensor, Tensor] | None = None
    for top, bottom in _spans(height, rows):
        for left, right in _spans(width, columns):
            above, before = max(0, top - halo), max(0, left - halo)
            # A copy, since G would otherwise see a view with the strides of the whole frame.
            tile = inputs[..., above : bottom + halo, before : right + halo].contiguous(
                memory_format=torch.channels_last
            )
            high, hidden = generate(tile)
            if whole is None:
                whole = (
                    high.new_empty(count, high.shape[1], height * SCALE, width * SCALE),
                    hidden.new_empty(count, hidden.shape[1], height, width),
                )
            for into, made, scale in zip(whole, (high, hidden), (SCALE, 1), strict=True):
                rows_kept = slice((top - above) * scale, (bottom - above) * scale)
                columns_kept = slice((left - before) * scale, (right - before) * scale)
                into[..., top * scale : bottom * scale, left * scale : right * scale] = made[
                    ..., rows_kept, columns_kept
                ]
    assert whole is not None
    return whole


@lru_cache(maxsize=64)
def grid(height: int, width: int, *, halo: int, tile_pixels_max: int) -> tuple[int, int]:
    """Rows and columns of tiles: those that fit with least work in all; if none fits, the smallest."""

    def tile_pixels(rows: int, columns: int) -> int:
        return min(height, math.ceil(height / rows) + 2 * halo) * min(
            width, math.ceil(width / columns) + 2 * halo
        )

    grids = [
        (rows, columns)
        for rows in range(1, max(1, height // KEPT_SIDE_MIN) + 1)
        for columns in range(1, max(1, width // KEPT_SIDE_MIN) + 1)
    ]
    fitting = [each for each in grids if tile_pixels(*each) <= tile_pixels_max]
    if not fitting:
        return grids[-1]
    return min(fitting, key=lambda each: each[0] * each[1] * tile_pixels(*each))


def _spans(length: int, count: int) -> Iterator[tuple[int, int]]:
    """`count` half-open spans that cover [0, length), their sizes one apart at most."""
    for index in range(count):
        yield index * length // count, (index + 1) * length // count
