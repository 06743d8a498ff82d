"""Replaying: a step whose shapes come again and again is recorded, and replayed from then on.

On a GPU launching a step's hundred kernels one by one may take longer than running them. A recording keeps
memory for its shapes, and making one takes longer than a step; so shapes that come once or twice, as those of
pictures do, are run as they are, and recordings are bounded by their pixels. Not here: how a device records
(cuda.py).
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from worker.engine.backends.place import Place, Recording, Tensors, Work

PLAIN_RUNS: Final = 2  # of shapes before they are recorded: the first as it comes, the second tuned
SHAPES_MAX: Final = 64  # that are remembered to have come

_Key = tuple[Hashable, ...]


class Replayer:
    """For one thread.

    pixels_max   of all recordings together, of those used last
    """

    def __init__(self, place: Place, *, pixels_max: int) -> None:
        self._place, self._pixels_max = place, pixels_max
        self._runs: OrderedDict[_Key, int] = OrderedDict()
        self._recorded: OrderedDict[_Key, tuple[int, Recording]] = OrderedDict()

    def run(self, what: Hashable, work: Work, inputs: Tensors) -> Tensors:
        """work(*inputs), in memory of its own.

        what     stands for `work`, of which the same is always given with it
        inputs   the first of which is N frames (N, h, w, 3)
        """
        key = (what, *((each.shape, each.dtype) for each in inputs))
        if key in self._recorded:
            self._recorded.move_to_end(key)
            return self._recorded[key][1].replay(inputs)
        runs = self._runs.pop(key, 0)
        self._runs[key] = runs + 1
        while len(self._runs) > SHAPES_MAX:
            self._runs.popitem(last=False)
        if runs == PLAIN_RUNS and (made := self._record(key, work, inputs)) is not None:
            return made
        if runs < PLAIN_RUNS - 1:
            return work(*inputs)
        with self._place.tuned():
            return work(*inputs)

    def forget(self) -> None:
        """Give all memory of recordings back."""
        self._recorded.clear()
        self._runs.clear()

    @property
    def pixels(self) -> int:
        """Of all recordings."""
        return sum(pixels for pixels, _ in self._recorded.values())

    def _record(self, key: _Key, work: Work, inputs: Tensors) -> Tensors | None:
        count, height, width = inputs[0].shape[:3]
        pixels = count * height * width
        if pixels > self._pixels_max:
            return None
        while self.pixels + pixels > self._pixels_max:
            self._recorded.popitem(last=False)
        recording = self._place.record(work, inputs)
        if recording is None:
            return None
        self._recorded[key] = pixels, recording
        del self._runs[key]
        return recording.replay(inputs)
