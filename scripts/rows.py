"""Rows: a chain of layers from left to right, and the legend of what was drawn.

Not here: lines and words (svg.py), which network is drawn and where (drawings.py).
"""

from collections.abc import Sequence
from fractions import Fraction
from math import log2
from typing import Final

from layers import Layer
from svg import Sheet

GAP: Final = 14
WIDE, THIN = 42, 20  # layers with weights, layers without
COLOURS: Final = (  # by the first word that the layer's kind contains
    ("transposed", "#cbe8c4"),
    ("stride", "#ddd0f0"),
    ("tanh", "#d5d9de"),
    ("ReLU", "#cfe2f7"),
    ("convolution", "#eaf2fc"),
    ("pooling", "#f8d3c0"),
    ("linear", "#fbeab0"),
    ("cubic", "#fbeab0"),
    ("shuffle", "#cbe8c4"),
)
DATA: Final = "#f1f3f5"


class Row:
    """Layers from left to right around one middle line; the height of a box tells its resolution."""

    def __init__(self, sheet: Sheet, *, x: float, middle: float, tallest: float) -> None:
        self.sheet, self.x, self.middle, self.tallest = sheet, x, middle, tallest
        self.bottom = middle + tallest / 2
        self.spots: list[float] = []  # the middle of each layer

    def data(self, *names: str, channels: int, y: float = 0, advance: bool | None = None) -> None:
        """What goes in or comes out; two of them may share a column."""
        height = 20 + 17 * len(names)
        self.sheet.box(self.x, self.middle + y - height / 2, 56, height, DATA)
        for line, words in enumerate((*names, str(channels))):
            at = self.middle + y - height / 2 + 11 + 16 * line
            self.sheet.text(self.x + 28, at, words, size=12, faint=line == len(names))
        if advance or not y:
            self.x += 56

    def named(self, name: str, *, channels: int, fill: str = "#fbeab0") -> None:
        """A part without weights."""
        self.sheet.box(self.x, self.middle - 20, 56, 40, fill)
        self.sheet.text(self.x + 28, self.middle - 7, name, size=12)
        self.sheet.text(self.x + 28, self.middle + 9, str(channels), size=11, faint=True)
        self.x += 56

    def layers(self, layers: Sequence[Layer], *, arrow_first: bool = True) -> None:
        for index, layer in enumerate(layers):
            if index or arrow_first:
                self.arrow()
            wide = WIDE if "convolution" in layer.kind else THIN
            height = self.height(layer)
            self.sheet.box(self.x, self.middle - height / 2, wide, height, colour(layer.kind))
            if wide == WIDE:
                self.sheet.text(self.x + wide / 2, self.middle, str(layer.channels))
            self.spots.append(self.x + wide / 2)
            self.bottom = max(self.bottom, self.middle + height / 2)
            self.x += wide

    def height(self, layer: Layer) -> float:
        return self.tallest + 24 * log2(layer.scale)

    def arrow(self, *, length: float = GAP, label: str = "") -> None:
        self.sheet.line((self.x, self.middle), (self.x + length, self.middle))
        if label:
            self.sheet.text(self.x + length / 2 + 4, self.middle + 10, label, size=11, faint=True)
        self.x += length

    def plus(self) -> None:
        self.sheet.plus(self.x + 10, self.middle)
        self.x += 20

    def joint(self, words: str) -> None:
        """Where channels are put one after another: the number there are then."""
        self.sheet.line((self.x, self.middle), (self.x + 30, self.middle), arrow=False)
        self.sheet.text(self.x + 17, self.middle - 9, words, size=11, faint=True)
        self.x += 30

    def scales(self, layers: Sequence[Layer], *, full: str = "h", y: float | None = None) -> None:
        """Under the row, the height of the picture wherever it changes."""
        y = self.bottom + 16 if y is None else y
        spots = self.spots[:1] + self.spots[-(len(layers) - 1) :]
        before = None
        for spot, layer in zip(spots, layers, strict=True):
            if layer.scale != before:
                self.sheet.text(spot, y, scale_name(layer.scale, full), size=11, faint=True)
            before = layer.scale


def scale_name(scale: Fraction, full: str = "h") -> str:
    return f"{full}/{scale.denominator}" if scale < 1 else full if scale == 1 else f"{scale}{full}"


def colour(kind: str) -> str:
    return next(fill for word, fill in COLOURS if word in kind)


def legend(sheet: Sheet, layers: Sequence[Layer], *, y: float, note: str = "") -> None:
    """The kinds that were drawn, once each, in the order of their first use."""
    x, edge = 16.0, max(sheet.right, 640)
    for kind in dict.fromkeys(layer.kind for layer in layers if layer.kind != "sum"):
        needed = 50 + 6.5 * len(kind)
        if x + needed > edge:
            x, y = 16, y + 24
        sheet.box(x, y - 7, 14, 14, colour(kind), radius=2)
        sheet.text(x + 22, y, kind, size=12, anchor="start")
        x += needed
    sheet.text(16, y + 26, f"Numbers are channels. {note}".strip(), size=12, anchor="start", faint=True)
