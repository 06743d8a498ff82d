"""Blends what a network made of a frame with the frame's plain enlargement: how much of its detail is shown.

For whoever takes the output. The recurrence goes on with what the network made, so that a state, and what is
made from it, does not depend on how much is shown.
"""

from typing import Final

import cv2
import numpy as np

from worker.frames import HighFrame, LowFrame, YuvFrame

WHOLE: Final = 1.0  # what the network made, as it is


def blended(high: HighFrame | YuvFrame, low: LowFrame, strength: float) -> HighFrame | YuvFrame:
    """(H, W, 3) of what the network made (same shape) and bicubic interpolation of (h, w, 3).

    strength   from 0, the interpolation alone, to 1, the network's output alone, which then may be YUV
    """
    if strength == WHOLE:
        return high
    height, width = high.shape[:2]
    plain = cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.addWeighted(high, strength, plain, 1 - strength, 0), dtype=high.dtype)
