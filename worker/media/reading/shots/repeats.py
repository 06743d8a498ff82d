"""Finds frames that equal the one before, sample by sample: slides, screens, drawn film on twos."""

import av
import numpy as np

from worker.media.reading.shots.cuts import Thumbnail


class RepeatFinder:
    """Takes all frames in display order with their thumbnails."""

    def __init__(self) -> None:
        self._before: tuple[av.VideoFrame, Thumbnail] | None = None

    def is_repeat(self, picture: av.VideoFrame, thumbnail: Thumbnail) -> bool:
        """Whether the next frame equals the last one; for a pixel format that NumPy can't see, never."""
        before, self._before = self._before, (picture, thumbnail)
        if before is None or not np.array_equal(before[1], thumbnail):  # nearly all frames end here
            return False
        try:
            return np.array_equal(before[0].to_ndarray(), picture.to_ndarray())
        except ValueError:
            return False
