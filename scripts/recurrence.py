"""Recurrence: one step of it, and the clip that the ping-pong loss plays forth and back.

drawings.py writes both.
"""
# ruff: noqa: RUF001 (the signs of mathematics stand in the drawings)

from rows import DATA
from svg import FAINT, Sheet

from model_core.config import SCALE, ModelConfig
from model_core.generator import FrvsrGenerator


def recurrence(config: ModelConfig) -> Sheet:
    """One step: what of the last frame goes into this one."""
    sheet = Sheet("One step of the recurrence")
    top, low, wide = 112, 216, 104

    def part(x: float, y: float, words: str, under: str, fill: str) -> None:
        sheet.box(x, y - 24, wide, 48, fill)
        sheet.text(x + wide / 2, y - 7, words)
        sheet.text(x + wide / 2, y + 11, under, size=11, faint=True)

    columns = [16 + i * (wide + 30) for i in range(7)]
    part(columns[0], top, "yₜ₋₁", "last output", DATA)
    part(columns[0], low - 34, "xₜ₋₁", "last frame", DATA)
    part(columns[0], low + 34, "xₜ", "frame", DATA)
    part(columns[1], low, "F", "flow, low px", "#cfe2f7")
    part(columns[2], low, "enlarge", f"size ×{SCALE}, px ×{SCALE}", "#fbeab0")
    part(columns[3], top, "warp", "backward", "#fbeab0")
    part(columns[4], top, "fold", f"{SCALE}×{SCALE} blocks: {3 * SCALE**2}", "#cbe8c4")
    part(columns[5], top, "G", f"{FrvsrGenerator(config).conv_in.in_channels} channels in", "#cfe2f7")
    part(columns[6], top, "yₜ", "output", DATA)
    for offset in (-34, 34):
        sheet.line(
            (columns[0] + wide, low + offset),
            (columns[0] + wide + 16, low + offset),
            (columns[0] + wide + 16, low),
            arrow=False,
        )
    sheet.line((columns[0] + wide + 16, low), (columns[1], low))
    sheet.line((columns[1] + wide, low), (columns[2], low))
    sheet.line((columns[2] + wide, low), (columns[3] + wide / 2, low), (columns[3] + wide / 2, top + 24))
    sheet.line((columns[0] + wide, top), (columns[3], top))
    for a, b in ((3, 4), (4, 5), (5, 6)):
        sheet.line((columns[a] + wide, top), (columns[b], top))
    sheet.line(
        (columns[0] + wide / 2, low + 58),
        (columns[0] + wide / 2, low + 84),
        (columns[5] + wide / 2, low + 84),
        (columns[5] + wide / 2, top + 24),
    )
    sheet.text(columns[5] + wide / 2 + 8, low, "xₜ", size=12, anchor="start", faint=True)
    sheet.line(
        (columns[6] + wide / 2, top - 24),
        (columns[6] + wide / 2, 72),
        (columns[0] + wide / 2, 72),
        (columns[0] + wide / 2, top - 24),
        dashed=True,
        ink=FAINT,
    )
    sheet.text(
        (columns[0] + columns[6] + wide) / 2,
        60,
        "clamped, kept as the state of the next step",
        size=12,
        faint=True,
    )
    return sheet


def ping_pong(length: int = 4) -> Sheet:
    """A clip played forth and back: outputs of one moment are compared."""
    sheet = Sheet("Ping-pong: the clip is played forth and back, and both outputs of one moment must agree")
    pitch, wide, rows = 124, 52, {"y": 150, "G": 220, "x": 290}
    moments = [*range(1, length + 1), *range(length - 1, 0, -1)]
    for index, moment in enumerate(moments):
        x, back = 16 + index * pitch, index >= length
        number = "₀₁₂₃₄₅₆₇₈₉"[moment]
        for name, y in rows.items():
            words = name if name == "G" else f"{name}{number}" + ("′" if back and name == "y" else "")
            sheet.box(x, y - 18, wide, 36, "#cfe2f7" if name == "G" else DATA)
            sheet.text(x + wide / 2, y, words)
        sheet.line((x + wide / 2, rows["x"] - 18), (x + wide / 2, rows["G"] + 18))
        sheet.line((x + wide / 2, rows["G"] - 18), (x + wide / 2, rows["y"] + 18))
        if index + 1 < len(moments):
            middle = x + wide + (pitch - wide) / 2
            sheet.line(
                (x + wide, rows["y"]), (middle, rows["y"]), (middle, rows["G"]), (x + pitch, rows["G"])
            )
            sheet.text(middle + 5, rows["G"] - 30, "warp", size=11, anchor="start", faint=True)
            sheet.line((x + wide, rows["x"]), (x + pitch, rows["x"]), arrow=False, dashed=True)
            sheet.line((middle, rows["x"]), (middle, rows["G"]), arrow=False, dashed=True)
            sheet.text(middle + 5, rows["G"] + 36, "F", size=11, anchor="start", faint=True)
        if back:
            # The outputs of one moment, over the heads of those in between.
            other, roof = 16 + (moment - 1) * pitch + wide / 2, rows["y"] - 18 - 24 * (index - length + 1)
            here = x + wide / 2
            sheet.line(
                (other, rows["y"] - 18), (other, roof), (here, roof), (here, rows["y"] - 18), ink=FAINT
            )
            sheet.text((other + here) / 2, roof - 10, f"|y{number} − y{number}′|", size=11, faint=True)
    return sheet
