"""Finds cuts between shots from small grey thumbnails, in one pass and constant memory.

A cut is a jump that stands out from the motion around it and that the picture does not take back within a
few frames, so neither a flash nor a fast pan is one. Fades and dissolves are none: the recurrence follows.
Not here: decoding (../timeline.py), scaling (thumbnails.py). Start at `CutFinder`.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

Thumbnail = NDArray[np.uint8]

THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT = 64, 36

# Mean levels between two thumbnails, the best small shift taken. Cuts of real footage give 20 to 80, motion
# below 10. A pan that sets off is twice the median of its neighbours, two of which are still; a cut is more.
_JUMP_LEVELS_MIN = 14.0
_JUMP_RATIO_MIN = 2.5
_NEIGHBOURS = 2  # frames each way whose differences say how much motion is usual here
_FLASH_FRAMES = 3  # a change taken back within so many frames is a flash
_SAME_STRUCTURE_MIN = 0.85  # correlation above which two pictures show one scene in another light
_SHIFTS = [(dy, dx) for dy in (-2, -1, 0, 1, 2) for dx in (-4, -2, -1, 0, 1, 2, 4)]
_DELAY = max(_FLASH_FRAMES, _NEIGHBOURS)  # frames that must follow before a jump can be judged
_BEFORE = max(_FLASH_FRAMES, _NEIGHBOURS) + 1  # frames kept before the jump


class CutFinder:
    """Takes the thumbnails of all frames in display order; `finish` gives the frames that start new shots."""

    def __init__(self) -> None:
        self._thumbnails: deque[Thumbnail] = deque(maxlen=_BEFORE + 1 + _DELAY)
        self._jumps: deque[float] = deque(maxlen=_BEFORE + 1 + _DELAY)  # of each frame from the one before
        self._count = 0  # frames taken
        self._cuts: list[int] = []

    def add(self, thumbnail: Thumbnail) -> None:
        """Take the next frame's thumbnail, (36, 64) uint8 luma."""
        assert thumbnail.shape == (THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH)
        self._jumps.append(difference(self._thumbnails[-1], thumbnail) if self._thumbnails else 0.0)
        self._thumbnails.append(thumbnail)
        self._count += 1
        self._judge(self._count - 1 - _DELAY)

    def finish(self) -> tuple[int, ...]:
        """The cuts, after judging the last frames by what followed them."""
        for frame_index in range(max(self._count - _DELAY, 1), self._count):
            self._judge(frame_index)
        return tuple(self._cuts)

    def _judge(self, frame_index: int) -> None:
        if frame_index < 1:
            return
        at = frame_index - (self._count - len(self._thumbnails))  # its place among those kept
        jump = self._jumps[at]
        if jump < _JUMP_LEVELS_MIN:
            return
        jumps = list(self._jumps)
        around = jumps[max(at - _NEIGHBOURS, 0) : at] + jumps[at + 1 : at + 1 + _NEIGHBOURS]
        if around and jump < _JUMP_RATIO_MIN * float(np.median(around)):
            return
        kept = list(self._thumbnails)
        before = kept[max(at - 1 - _FLASH_FRAMES, 0) : at]
        after = kept[at : at + 1 + _FLASH_FRAMES]
        if not any(_show_one_scene(old, new) for old in before for new in after):
            self._cuts.append(frame_index)


def difference(before: Thumbnail, after: Thumbnail) -> float:
    """Mean absolute difference in levels; for a large one, of the best of a few small shifts."""
    first, second = before.astype(np.int16), after.astype(np.int16)
    still = float(np.abs(first - second).mean())
    if still < _JUMP_LEVELS_MIN:
        return still
    return min(_shifted_difference(first, second, dy, dx) for dy, dx in _SHIFTS)


def _shifted_difference(before: NDArray[np.int16], after: NDArray[np.int16], dy: int, dx: int) -> float:
    height, width = before.shape
    moved = after[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    stayed = before[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
    return float(np.abs(moved - stayed).mean())


def _show_one_scene(before: Thumbnail, after: Thumbnail) -> bool:
    return difference(before, after) < _JUMP_LEVELS_MIN or _correlation(before, after) > _SAME_STRUCTURE_MIN


def _correlation(before: Thumbnail, after: Thumbnail) -> float:
    first, second = before - before.mean(), after - after.mean()
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / spread if spread > 0 else 0.0  # flat pictures have no structure
