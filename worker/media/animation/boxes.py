"""The part of a canvas that a frame has to draw."""

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two are outside


def box_of(drawn: NDArray[np.bool_], *, step: int = 1) -> Box:
    """The smallest box around what is drawn, (H, W), beginning at multiples of `step`; one pixel for nothing.

    A frame that draws nothing still has its time, and every format wants a pixel for it.
    """
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if rows.size == 0:
        return 0, 0, 1, 1
    left, top = int(columns[0]) // step * step, int(rows[0]) // step * step
    return left, top, int(columns[-1]) + 1, int(rows[-1]) + 1


def changed(before: NDArray[np.uint8] | None, now: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W): where two canvases differ; everywhere, where there is none before."""
    if before is None:
        return np.ones(now.shape[:2], np.bool_)
    return np.asarray((before != now).any(axis=2))
