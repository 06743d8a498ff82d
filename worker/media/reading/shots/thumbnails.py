"""Small grey pictures of frames: what finds cuts (cuts.py), and what tells a frame again (../decode.py)."""

from zlib import crc32

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from worker.media.reading.shots.cuts import THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, Thumbnail

# Exact on every processor, because fingerprints of one worker are compared by another.
_SCALING = Interpolation.AREA | Interpolation.BITEXACT | Interpolation.ACCURATE_RND


class Thumbnails:
    """Makes them; one for each thread."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def of(self, picture: av.VideoFrame) -> Thumbnail:
        """(36, 64) uint8 luma, each sample the mean of its area."""
        small = self._reformatter.reformat(
            picture, THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT, "gray", interpolation=_SCALING, threads=1
        )
        return small.to_ndarray().astype(np.uint8, copy=False)


def fingerprint(thumbnail: Thumbnail) -> int:
    return crc32(thumbnail.tobytes())
