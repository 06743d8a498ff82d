"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], body: Iterable[Sequence[object]]) -> list[str]:
    """Lines; None is an empty cell."""
    rows = [head, ["---"] * len(head), *body]
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in cells]


def number(value: float | None, digits: int = 3) -> str | None:
    """So many significant digits, without an exponent."""
    if value is None:
        return None
    return f"{value:#.{digits}g}".rstrip(".") if abs(value) < 10**digits else f"{value:.0f}"
