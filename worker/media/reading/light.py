"""How bright the screen was that an HDR video was graded on, and how bright its frames become.

Frames carry it as FFmpeg's structures, which PyAV hands over as bytes. Not here: what samples mean
(worker/media/colour.py), how it is written again (writing/light.py).
"""

import struct
from collections.abc import Iterable
from typing import Final

from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from pydantic import ValidationError

from worker.media.types import CHROMATICITIES, NITS, Light

# AVMasteringDisplayMetadata: ten fractions, and whether the first eight and the last two mean anything.
_MASTERING: Final = struct.Struct("=22i")
_CONTENT: Final = struct.Struct("=2I")  # AVContentLightMetadata

_DYNAMIC: Final = {
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+",
    SideDataType.DYNAMIC_HDR_VIVID: "HDR Vivid",
}


def read_light(sides: Iterable[SideData]) -> Light | None:
    """What the first frame says; None where it says nothing, or nothing that could be."""
    chromaticities: tuple[int, ...] | None = None
    luminance: tuple[int, int] | None = None
    content: tuple[int, int] | None = None
    for side in sides:
        if side.type == SideDataType.MASTERING_DISPLAY_METADATA:
            *fractions, has_primaries, has_luminance = _MASTERING.unpack_from(bytes(side))
            pairs = list(zip(fractions[::2], fractions[1::2], strict=True))
            if has_primaries and all(below for _, below in pairs[:8]):
                chromaticities = tuple(_rounded(pair, CHROMATICITIES) for pair in pairs[:8])
            if has_luminance and all(below for _, below in pairs[8:]):
                luminance = _rounded(pairs[8], NITS), _rounded(pairs[9], NITS)
        elif side.type == SideDataType.CONTENT_LIGHT_LEVEL:
            most, mean = _CONTENT.unpack_from(bytes(side))
            content = (most, mean) if most or mean else None  # zero stands for unknown
    if chromaticities is None or luminance is None:  # neither can be written without the other
        chromaticities = luminance = None
    if chromaticities is None and content is None:
        return None
    try:
        return Light.from_json({"chromaticities": chromaticities, "luminance": luminance, "content": content})
    except ValidationError:  # beyond what there is room for
        return None


def dynamic_kinds(sides: Iterable[SideData]) -> list[str]:
    """What tells each scene's light, which belongs to frames as they were."""
    return [_DYNAMIC[side.type] for side in sides if side.type in _DYNAMIC]


def _rounded(fraction: tuple[int, int], unit: int) -> int:
    return round(fraction[0] * unit / fraction[1])
