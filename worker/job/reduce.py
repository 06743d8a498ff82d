"""The scale of 2: the four times larger frame, area-averaged."""

import cv2
import numpy as np
import numpy.typing as npt


def reduced(high: npt.NDArray[np.uint8], scale: int) -> npt.NDArray[np.uint8]:
    """(4h, 4w, 3) as it is for a scale of 4, or its mean over 2x2 pixels for a scale of 2."""
    if scale == 4:
        return high
    height, width = high.shape[:2]
    half = cv2.resize(high, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half, dtype=np.uint8)
