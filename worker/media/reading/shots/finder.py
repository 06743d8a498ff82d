"""What a pass over a video's frames finds beside their times: where shots start, which frames repeat."""

from array import array

import av

from worker.media.reading.shots.cuts import CutFinder
from worker.media.reading.shots.repeats import RepeatFinder
from worker.media.reading.shots.thumbnails import Thumbnails, fingerprint


class Shots:
    """Takes all frames in display order and finds cuts and repeats."""

    def __init__(self) -> None:
        self.count = 0
        self.repeats = array("q")  # indexes
        self._cuts, self._thumbnails, self._repeats = CutFinder(), Thumbnails(), RepeatFinder()

    def add(self, frame: av.VideoFrame) -> int:
        """Take the next frame; gives its fingerprint."""
        thumbnail = self._thumbnails.of(frame)
        self._cuts.add(thumbnail)
        if self._repeats.is_repeat(frame, thumbnail):
            self.repeats.append(self.count)
        self.count += 1
        return fingerprint(thumbnail)

    def cuts(self) -> tuple[int, ...]:
        return self._cuts.finish()
