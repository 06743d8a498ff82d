"""F without a network: OpenCV's DIS (dense inverse search) between two frames, at eight bits.

Source: Kroeger et al. 2016 (arXiv:1603.03590). It runs in the decoding threads, so the engine gets a
flow with its frame. Reads no weights; the generator it serves was trained on the same flow.

dis        the preset MEDIUM down to single pixels
dis-fast   ULTRAFAST, without the finest level: a thirteenth of the time, and for a generator that sees three
           frames and remembers nearly as good
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model_core.config import FlowName

KEPT_PIXELS_MAX: Final = 960 * 540  # DIS keeps its buffers for the next pair: for 1920x1080 half a GB
SIDE_MIN: Final = 32  # DIS fails on pictures smaller than its coarsest patch grid; smaller ones are padded

Rgb = NDArray[np.unsignedinteger[Any]]

PRESETS: Final[dict[FlowName, tuple[int, int]]] = {
    "dis": (cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 0),
    "dis-fast": (cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 1),
}


class DisFlow:
    """One per thread: OpenCV's object is not thread-safe."""

    def __init__(self, kind: FlowName) -> None:
        self._kind: FlowName = kind
        self._dis = _create(kind)

    def __call__(self, previous: Rgb, frame: Rgb) -> NDArray[np.float32]:
        """The flow from `frame` back to `previous`.

        Both are (h, w, 3) uint8 or uint16 RGB; flow_low is (2, h, w) float32.
        """
        height, width = frame.shape[:2]
        here, behind = _luma2(frame), _luma2(previous)
        found = np.zeros((*here.shape, 2), np.float32)  # (2h', 2w', 2), x first
        found = np.asarray(self._dis.calc(here, behind, found))[: 2 * height, : 2 * width]
        if height * width > KEPT_PIXELS_MAX:
            self._dis = _create(self._kind)  # collectGarbage of OpenCV 5.0 leaves one that crashes
        flow = cv2.resize(found, (width, height), interpolation=cv2.INTER_AREA) / 2
        return np.ascontiguousarray(flow.transpose(2, 0, 1), dtype=np.float32)


def _create(kind: FlowName) -> cv2.DISOpticalFlow:
    preset, finest_scale = PRESETS[kind]
    made = cv2.DISOpticalFlow.create(preset)
    made.setFinestScale(finest_scale)
    return made


def _luma2(frame: Rgb) -> NDArray[np.uint8]:
    """Luma, twice enlarged: sub-pixel motion of a small picture is then within DIS's finest patches."""
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if luma.dtype == np.uint16:
        luma = cv2.convertScaleAbs(luma, alpha=255 / 65_535)  # DIS takes no other, and motion needs no more
    height, width = luma.shape
    below, right = max(0, SIDE_MIN - height), max(0, SIDE_MIN - width)
    if below or right:
        luma = cv2.copyMakeBorder(luma, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(luma, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
