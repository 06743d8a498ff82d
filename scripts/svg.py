"""Svg: a sheet of paper that boxes, arrows and words are put on, written out as plain SVG.

Knows nothing of networks (drawings.py). The page is white, so that it reads the same in light and dark mode.
"""

from dataclasses import dataclass, field
from html import escape
from typing import Final, Literal

INK: Final = "#1f2933"
FAINT: Final = "#64707d"
MARGIN: Final = 16
Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


@dataclass(slots=True)
class Sheet:
    """Grows with what is drawn on it. Coordinates are pixels, y pointing down."""

    title: str  # stands at the top
    parts: list[str] = field(default_factory=list)
    right: float = 0
    bottom: float = 0

    def __post_init__(self) -> None:
        self.text(MARGIN, 24, self.title, size=16, anchor="start", bold=True)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str,
        *,
        dashed: bool = False,
        radius: int = 4,
    ) -> None:
        stroke = f'stroke="{FAINT}" stroke-dasharray="5 4"' if dashed else f'stroke="{INK}"'
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" '
            f'fill="{fill}" {stroke}/>'
        )
        self._reach(x + width, y + height)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 13,
        anchor: Anchor = "middle",
        faint: bool = False,
        bold: bool = False,
    ) -> None:
        """One line; y is its middle."""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y + 0.35 * size:g}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{FAINT if faint else INK}"{weight}>{escape(words)}</text>'
        )
        width = 0.6 * size * len(words)  # generous for a sans-serif
        self._reach(x + {"start": width, "middle": width / 2, "end": 0}[anchor], y + size)

    def line(self, *points: Point, arrow: bool = True, dashed: bool = False, ink: str = INK) -> None:
        """A polyline, with a head at its last point."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        ends = f' marker-end="url(#{"head" if ink == INK else "head2"})"' if arrow else ""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{ink}"{dash}{ends}/>')
        self._reach(max(x for x, _ in points), max(y for _, y in points))

    def plus(self, x: float, y: float) -> None:
        """The sign of a sum."""
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="10" fill="white" stroke="{INK}"/>')
        self.parts.append(
            f'<path d="M {x - 6:g} {y:g} H {x + 6:g} M {x:g} {y - 6:g} V {y + 6:g}" stroke="{INK}"/>'
        )
        self._reach(x + 10, y + 10)

    def render(self) -> str:
        width, height = round(self.right + MARGIN), round(self.bottom + MARGIN)
        heads = "".join(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto-start-reverse"><path d="M 0 0.5 L 8 4 L 0 7.5 z" fill="{ink}"/></marker>'
            for name, ink in (("head", INK), ("head2", FAINT))
        )
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                f'height="{height}" font-family="Helvetica, Arial, sans-serif">',
                f"<title>{escape(self.title)}</title>",
                f"<defs>{heads}</defs>",
                f'<rect width="{width}" height="{height}" fill="white"/>',
                *self.parts,
                "</svg>\n",
            )
        )

    def _reach(self, x: float, y: float) -> None:
        self.right, self.bottom = max(self.right, x), max(self.bottom, y)
