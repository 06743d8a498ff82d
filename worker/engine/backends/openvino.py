"""OpenVinoBackend: a model on a processor. OpenCV moves and enlarges pictures, OpenVINO runs G (graph.py).

Streams of a batch run one after the other: a processor is as busy with one frame as with eight, and so an
output can't depend on its company. Equal to model_core.recurrence but for the order of sums; held to that by
tests. Not here: networks for motion and the skips of imported networks, which torch.py runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model_core.config import SCALE, ModelConfig
from model_core.model import Model
from model_core.recurrence import HIDDEN_LEVELS
from worker.engine.backends.base import Flow, Snapshot, Stepped, Turn
from worker.engine.backends.graph import Array, StepGraph
from worker.engine.backends.precision import Precision
from worker.engine.pace import Pace
from worker.engine.tiles import HALO_MAX, Tile, Window, scaled, tiles
from worker.frames import HighFrame, LowFrame, Planes, is_deep, last_level, to_levels

Floats = NDArray[np.float32]

# What lies between layers takes about 2 kB a pixel, so this is 256 MB, and halos cost a tenth.
TILE_PIXELS_MAX: Final = 1 << 17

PRECISIONS: Final[dict[Precision, dict[str, Any]]] = {
    "float32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bfloat16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "int8": {"INFERENCE_PRECISION_HINT": "f32"},  # of what is not quantised
}


@dataclass(frozen=True, slots=True)
class _State:
    """A stream's state.

    frame    (h, w, 3)
    output   (4h, 4w, 3) in [0, 1]
    hidden   (h, w, hidden) in [-1, 1]
    """

    frame: LowFrame
    output: Floats
    hidden: Floats


class OpenVinoBackend:
    """See base.Backend. With precision "int8" the model is a quantised one (model_core/quantised.py)."""

    name = "openvino-cpu"
    makes_yuv = False  # libswscale takes a sixtieth of the time of such a model

    def __init__(
        self, model: Model, *, precision: Precision = "float32", tile_pixels_max: int = TILE_PIXELS_MAX
    ) -> None:
        self.config: ModelConfig = model.config
        self.precision = precision
        self.tile_pixels_max = tile_pixels_max
        self.pace = Pace()
        # Two more than G sees: enlarging a tile's flow or frame goes wrong at the tile's own border.
        self._halo = min(self.config.receptive_radius, HALO_MAX) + 2
        # Threads that are bound to cores wait for whatever else runs on these.
        properties = {**PRECISIONS[precision], "ENABLE_CPU_PINNING": False}
        self._graph = StepGraph(model, properties=properties)
        self._deep_graph = lru_cache(maxsize=1)(lambda: StepGraph(model, properties=properties, is_deep=True))

    def answers(self) -> bool:
        return True

    def start(self, frame: LowFrame, resume: Snapshot | None) -> _State | None:
        if not self.config.recurrent:
            return None
        if resume is not None:
            hidden = _of_levels(resume.hidden, HIDDEN_LEVELS)
            return _State(resume.frame, _of_pixels(resume.output), hidden)
        height, width = frame.shape[:2]
        output = np.zeros((height * SCALE, width * SCALE, 3), np.float32)
        return _State(frame, output, np.zeros((height, width, self.config.hidden), np.float32))

    def flows(self, previous: Sequence[LowFrame], frames: Sequence[LowFrame]) -> list[Flow]:
        raise AssertionError("its models come with their flow")

    def step(self, turns: Sequence[Turn]) -> list[Stepped]:
        return [self._advance(turn) for turn in turns]

    def _advance(self, turn: Turn) -> Stepped:
        height, width = turn.frame.shape[:2]
        size = (height * SCALE, width * SCALE, 3)
        # What the graph writes: whole numbers at once where they have eight bits, else floats to be rounded.
        picture: Array = np.empty(size, np.float32 if is_deep(turn.frame) else np.uint8)
        state: _State | None = None
        if self.config.recurrent:
            hidden = np.empty((height, width, self.config.hidden), np.float32)
            state = _State(turn.frame, picture if is_deep(turn.frame) else np.empty(size, np.float32), hidden)
        is_finite = True
        for tile in tiles(height, width, halo=self._halo, tile_pixels_max=self.tile_pixels_max):
            with self.pace.call(turn.frame[tile.seen].size // 3):
                is_finite &= self._fill(tile, picture, state, turn)
        if not is_finite:
            return Stepped(state, None)
        if is_deep(turn.frame):
            picture = to_levels(picture, like=turn.frame)
        if not turn.keeps_state:
            return Stepped(state, picture)
        state, levels = _rounded(state, picture)
        return Stepped(state, picture, Snapshot(turn.frame, picture, levels))

    def _fill(self, tile: Tile, picture: Array, state: _State | None, turn: Turn) -> bool:
        """Run G on a tile, into its place in the picture and in the new state; whether that is finite."""
        deep = is_deep(turn.frame)
        graph = self._deep_graph() if deep else self._graph
        frame = turn.frame[tile.seen]
        frames = [frame]
        inputs: list[Array] = []
        whole: list[tuple[Array, int]] = [(picture, SCALE)]
        if state is not None:
            before = turn.state
            assert isinstance(before, _State), "a recurrent stream has a state"
            if self.config.looks_ahead:
                ahead = turn.frame if turn.ahead is None else turn.ahead
                frames = [before.frame[tile.seen], frame, ahead[tile.seen]]
            inputs = [moved(before.output, turn.flow, tile.seen, SCALE), enlarged(frame)]
            if not deep:  # of a deep one the picture is the state's
                whole.append((state.output, SCALE))
            if self.config.hidden:
                inputs.append(moved(before.hidden, turn.flow, tile.seen, 1))
                whole.append((state.hidden, 1))
        inputs = [*((_of_pixels(each) for each in frames) if deep else frames), *inputs]
        if tile.seen == tile.kept:
            return graph.run(inputs, into=[array for array, _ in whole])
        made = [
            np.empty((frame.shape[0] * scale, frame.shape[1] * scale, array.shape[2]), array.dtype)
            for array, scale in whole
        ]
        is_finite = graph.run(inputs, into=made)
        for (array, scale), part in zip(whole, made, strict=True):
            array[scaled(tile.kept, scale)] = part[scaled(tile.centre, scale)]
        return is_finite


def enlarged(frame: LowFrame) -> Floats:
    """(h, w, 3) -> (4h, 4w, 3) in [0, 1] or a little outside: warping.bicubic4."""
    height, width = frame.shape[:2]
    size = (width * SCALE, height * SCALE)
    return np.asarray(cv2.resize(_of_pixels(frame), size, interpolation=cv2.INTER_CUBIC), np.float32)


def moved(image: Floats, flow: Flow | None, window: Window, scale: int) -> Floats:
    """The window of `image` moved by the flow: warping.warp, by the flow enlarged where the image is larger.

    image    (scale * h, scale * w, C) of the whole frame
    flow     (2, h, w) low-resolution pixels; None: zero
    window   of low-resolution pixels
    Returns  (scale * rows, scale * columns, C)
    """
    rows, columns = scaled(window, scale)
    if flow is None:
        return np.ascontiguousarray(image[rows, columns])
    dx, dy = (np.ascontiguousarray(part[window]) for part in np.asarray(flow, np.float32))
    if scale > 1:
        size = (columns.stop - columns.start, rows.stop - rows.start)
        dx, dy = (scale * cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) for part in (dx, dy))
    x = dx + np.arange(columns.start, columns.stop, dtype=np.float32)
    y = dy + np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    # OpenCV samples exactly for up to four channels, and at 32nds of a pixel for more.
    parts = [
        cv2.remap(image[..., at : at + 4], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for at in range(0, image.shape[2], 4)
    ]
    return np.asarray(parts[0] if len(parts) == 1 else np.dstack(parts), np.float32)


def _rounded(state: _State | None, picture: HighFrame) -> tuple[_State | None, NDArray[np.int8]]:
    """The state at whole levels as recurrence.State.rounded has it, and its hidden part as those levels."""
    if state is None:
        return None, np.zeros((picture.shape[0] // SCALE, picture.shape[1] // SCALE, 0), np.int8)
    levels = np.rint(state.hidden * HIDDEN_LEVELS).astype(np.int8)
    return _State(state.frame, _of_pixels(picture), _of_levels(levels, HIDDEN_LEVELS)), levels


def _of_pixels(picture: Planes) -> Floats:
    return _of_levels(picture, last_level(picture))


def _of_levels(levels: Array, last: int) -> Floats:
    return levels.astype(np.float32) / np.float32(last)
