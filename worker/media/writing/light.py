"""Writes down how bright an HDR video was mastered, in the bitstream and in the container.

x265 and SVT-AV1 take it as parameters. Muxers take it from the stream, where PyAV can't put it; so they copy
it from a stream of a Matroska file of a header and no frames, which is made here. What its elements mean:
https://www.matroska.org/technical/elements.html. Not here: where it comes from (reading/light.py).
"""

import io
import struct
from typing import Final

import av
import av.container

from worker.media.types import CHROMATICITIES, NITS, Light

_CODEC_NAMES: Final = {
    "h264": b"V_MPEG4/ISO/AVC",
    "hevc": b"V_MPEGH/ISO/HEVC",
    "ffv1": b"V_FFV1",
    "av1": b"V_AV1",
    "prores": b"V_PRORES",
}

_EBML, _DOC_TYPE, _SEGMENT, _INFO, _CLUSTER, _TIMESTAMP = (
    0x1A45DFA3, 0x4282, 0x18538067, 0x1549A966, 0x1F43B675, 0xE7,
)  # fmt: skip
_TRACKS, _ENTRY, _NUMBER, _UID, _TYPE, _CODEC_ID, _PRIVATE = (
    0x1654AE6B,
    0xAE,
    0xD7,
    0x73C5,
    0x83,
    0x86,
    0x63A2,
)
_VIDEO, _WIDTH, _HEIGHT, _COLOUR = 0xE0, 0xB0, 0xBA, 0x55B0
_MAX_CLL, _MAX_FALL, _MASTERING = 0x55BC, 0x55BD, 0x55D0
_FIRST_CHROMATICITY, _LUMINANCE_MAX, _LUMINANCE_MIN = 0x55D1, 0x55D9, 0x55DA


def x265_params(light: Light | None) -> str:
    """To be put behind others; empty where nothing is known."""
    return _params(light, screen="master-display", content="max-cll", chromaticity=1, nits=1)


def svt_params(light: Light | None) -> str:
    """The same for SVT-AV1, which counts in ones and candelas."""
    return _params(
        light,
        screen="mastering-display",
        content="content-light",
        chromaticity=CHROMATICITIES,
        nits=NITS,
    )


def _params(light: Light | None, *, screen: str, content: str, chromaticity: int, nits: int) -> str:
    if light is None:
        return ""
    params = ""
    if light.chromaticities is not None and light.luminance is not None:
        red, green, blue, white = (
            "({},{})".format(*(_over(each, chromaticity) for each in light.chromaticities[at : at + 2]))
            for at in range(0, 8, 2)
        )
        darkest, brightest = (_over(each, nits) for each in light.luminance)
        params += f":{screen}=G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"
    if light.content is not None:
        params += f":{content}=" + ",".join(map(str, light.content))
    return params


def _over(value: int, unit: int) -> int | float:
    return value if unit == 1 else value / unit


def open_with_light(sample: av.VideoStream, light: Light) -> av.container.InputContainer:
    """A file without frames whose video stream is as `sample` and has that light: a template for muxers."""
    context = sample.codec_context
    colour = b""
    if light.content is not None:
        colour += _number(_MAX_CLL, light.content[0]) + _number(_MAX_FALL, light.content[1])
    if light.chromaticities is not None and light.luminance is not None:
        points = enumerate(light.chromaticities, start=_FIRST_CHROMATICITY)
        values = b"".join(_real(kind, value / CHROMATICITIES) for kind, value in points)
        values += _real(_LUMINANCE_MAX, light.luminance[1] / NITS)
        values += _real(_LUMINANCE_MIN, light.luminance[0] / NITS)
        colour += _element(_MASTERING, values)
    size = _number(_WIDTH, context.width) + _number(_HEIGHT, context.height)
    entry = (
        _number(_NUMBER, 1)
        + _number(_UID, 1)
        + _number(_TYPE, 1)
        + _element(_CODEC_ID, _CODEC_NAMES[context.codec.canonical_name])
        + _element(_PRIVATE, context.extradata or b"")
        + _element(_VIDEO, size + _element(_COLOUR, colour))
    )
    body = (
        _element(_INFO, b"")
        + _element(_TRACKS, _element(_ENTRY, entry))
        + _element(_CLUSTER, _number(_TIMESTAMP, 0))  # or FFmpeg would wait for one
    )
    file = _element(_EBML, _element(_DOC_TYPE, b"matroska")) + _element(_SEGMENT, body)
    container = av.open(io.BytesIO(file), "r", format="matroska")
    assert isinstance(container, av.container.InputContainer)
    return container


def _element(kind: int, body: bytes) -> bytes:
    head = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    return head + (len(body) | 1 << 56).to_bytes(8, "big") + body


def _number(kind: int, value: int) -> bytes:
    return _element(kind, value.to_bytes(8, "big"))


def _real(kind: int, value: float) -> bytes:
    return _element(kind, struct.pack(">d", value))
