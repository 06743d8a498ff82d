"""Yuv420: how RGB becomes the samples of a video, in numbers that the engine computes with.

What these numbers are of a video's colours, media/colour.py knows; what computes with them is
engine/backends/packing.py.
"""

from dataclasses import dataclass

Row = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Yuv420:
    """Eight bits; chroma halved both ways, each sample on the left of two luma samples, between two rows.

    weights   of Y, Cb and Cr: levels for each level of red, green and blue
    offsets   levels of black
    """

    weights: tuple[Row, Row, Row]
    offsets: Row
