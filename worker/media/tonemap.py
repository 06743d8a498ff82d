"""HDR for the eye: a small picture of PQ or HLG code values as a screen without HDR can show it.

For previews alone: results keep their code values. The curve is Reinhard's with a white point, on luminance,
so that hues stay; what a film calls white (203 nits, BT.2408) comes out at 84 % of the screen's.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worker.frames import Planes, in_bytes, last_level
from worker.media.colour import hdr_of
from worker.media.types import Colour

Floats = NDArray[np.floating[Any]]

_GREY_NITS: Final = 100.0  # what the curve takes to the middle
_WHITE_NITS: Final = 1000.0  # what it takes to the screen's white, with all above
_HLG_NITS: Final = 1000.0  # of the screen that HLG is shown on where nothing else is said, and its gamma
_HLG_GAMMA: Final = 1.2

# Rows give red, green and blue of BT.709; by code point of H.273.
_TO_BT709: Final = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),  # BT.2020
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),  # Display P3
}


def for_eyes(rgb: Planes, colour: Colour | None = None) -> Planes:
    """(H, W, 3) of any depth -> uint8: HDR tone-mapped to sRGB, all else as it is."""
    kind = None if colour is None else hdr_of(colour)
    if kind is None or colour is None:
        return in_bytes(rgb)
    signal = rgb.astype(np.float32) / last_level(rgb)
    nits = pq_to_nits(signal) if kind == "PQ" else hlg_to_nits(signal)
    luminance = nits @ np.array([0.2627, 0.6780, 0.0593], np.float32) / _GREY_NITS
    mapped = luminance * (1 + luminance / (_WHITE_NITS / _GREY_NITS) ** 2) / (1 + luminance)
    light = nits / _GREY_NITS * (mapped / np.maximum(luminance, 1e-6))[..., None]
    if colour.primaries in _TO_BT709:
        light = light @ np.array(_TO_BT709[colour.primaries], np.float32).T
    light = np.clip(light, 0, 1)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: Planes = np.rint(shown * 255).astype(np.uint8)
    return levels


def pq_to_nits(signal: Floats) -> Floats:
    """SMPTE ST 2084's EOTF: 0 to 1 -> candelas a square metre."""
    raised = np.asarray(signal) ** (1 / 78.84375)
    light = np.maximum(raised - 0.8359375, 0) / (18.8515625 - 18.6875 * raised)
    nits: Floats = 10_000 * light ** (1 / 0.1593017578125)
    return nits


def hlg_to_nits(signal: Floats) -> Floats:
    """ARIB STD-B67's inverse OETF and BT.2100's OOTF; the last axis is RGB."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.asarray(signal)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593], signal.dtype)
    nits: Floats = _HLG_NITS * scene * np.maximum(luminance, 1e-9)[..., None] ** (_HLG_GAMMA - 1)
    return nits
