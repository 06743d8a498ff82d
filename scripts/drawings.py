"""Draw docs/drawings/: `python scripts/drawings.py`, or `--check` that they are up to date.

Here the networks: what is drawn is built and run (layers.py), only the places on the sheet are chosen. The
others are in recurrence.py and states.py; rows.py draws a chain of layers, svg.py lines and words.
"""
# ruff: noqa: RUF001 (the signs of mathematics stand in the drawings)

import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import torch
from layers import Layer, trace
from recurrence import ping_pong, recurrence
from rows import DATA, GAP, WIDE, Row, legend, scale_name
from states import states
from svg import Point, Sheet

from model_core.config import ModelConfig
from model_core.discriminator import CHANNELS, Discriminator
from model_core.flow import FlowPyramid, FNet
from model_core.generator import FrvsrGenerator

FOLDER: Final = Path(__file__).parent.parent / "docs" / "drawings"
# The published form and the light one that ships; only `head` and `blocks` differ for G.
PAPER: Final = ModelConfig(generator="frvsr", flow="fnet", head="transposed", blocks=16)
LIGHT: Final = ModelConfig(generator="frvsr", flow="dis")

SIDE: Final = 32  # of the traced input; divides by every stride


def drawings() -> dict[str, Callable[[], Sheet]]:
    """Every drawing by its file name."""
    return {
        "flow-fnet.svg": fnet,
        "flow-pyramid.svg": pyramid,
        "generator-transposed.svg": lambda: generator(PAPER, "G as published"),
        "generator-subpixel.svg": lambda: generator(LIGHT, "G, light form"),
        "discriminator.svg": discriminator,
        "recurrence.svg": lambda: recurrence(LIGHT),
        "ping-pong.svg": ping_pong,
        "states.svg": states,
    }


def fnet() -> Sheet:
    """F of the paper: encoder and decoder in one row."""
    image = torch.rand(1, 3, SIDE, SIDE)
    layers = trace(FNet(), image, image)
    sheet = Sheet("F, the flow network of FRVSR and TecoGAN")
    row = Row(sheet, x=16, middle=112, tallest=110)
    row.data("xₜ, xₜ₋₁", channels=2 * image.shape[1])
    row.layers(layers)
    row.arrow()
    row.data("flow", "low px", channels=layers[-1].channels)
    row.scales(layers)
    legend(sheet, layers, y=row.bottom + 50)
    return sheet


def pyramid() -> Sheet:
    """F from coarse to fine: a row for each level, finest on top."""
    flow = FlowPyramid()
    sheet = Sheet("F as a pyramid: features, cost volume and residual flow at each level")
    costs, levels = (2 * flow.RADIUS + 1) ** 2, len(flow.WIDTHS)
    first, pitch = 120, 138
    drawn: list[Layer] = []
    image, scale = torch.rand(1, 3, SIDE, SIDE), Fraction(1)
    for level, (stage, decoder) in enumerate(zip(flow.features, flow.decoders, strict=True)):
        features = [replace(layer, scale=layer.scale * scale) for layer in trace(stage, image)]
        scale, width = features[-1].scale, features[-1].channels
        image = torch.rand(1, width, SIDE, SIDE)
        stacked = torch.rand(1, costs + width + 2, SIDE, SIDE)
        decoded = [replace(layer, scale=layer.scale * scale) for layer in trace(decoder, stacked)]
        drawn += features + decoded

        row = Row(sheet, x=16, middle=first + level * pitch, tallest=84)
        y = row.middle
        if level == 0:
            row.data("xₜ, xₜ₋₁", channels=3)
        else:
            sheet.text(44, y, scale_name(scale), size=11, faint=True)
            row.x += 56 + GAP
        row.layers(features, arrow_first=level == 0)
        out = row.x
        row.arrow(label="of xₜ₋₁", length=64)
        row.named("warp", channels=width)
        warp = row.x - 28
        row.arrow()
        row.named("costs", channels=costs)
        row.arrow()
        row.named("stack", channels=stacked.shape[1], fill=DATA)
        stack = row.x - 28
        # The frame's own features pass by the warp.
        sheet.line((out + 8, y), (out + 8, y - 50), (stack, y - 50), (stack, y - 20))
        sheet.line((stack - 56 - GAP, y - 50), (stack - 56 - GAP, y - 20))
        sheet.text((out + warp) / 2 + 4, y - 42, "of xₜ", size=11, faint=True)
        row.layers(decoded)
        row.arrow()
        row.plus()
        total = row.x - 10
        row.arrow()
        row.named("flow", channels=2, fill=DATA)
        # The coarser flow moves the features, is seen by the decoder and is what is added to.
        rail = y + 60
        for x, end in ((warp, 20), (stack, 20), (total, 11)):
            sheet.line((x, rail), (x, y + end))
        if level + 1 < levels:
            sheet.line((row.x - 28, y + pitch - 20), (row.x - 28, rail), (warp, rail), arrow=False)
            sheet.text(total - 14, rail + 12, "bilinear ×2, values ×2", size=11, anchor="end", faint=True)
            down = row.spots[len(features) - 1]
            _step_down(sheet, (down, y), (down - WIDE - GAP, y + pitch), height=row.height(features[-1]))
        else:
            sheet.line((total, rail), (warp, rail), arrow=False)
            sheet.text(warp - 8, rail, "zero flow", size=11, anchor="end", faint=True)
    legend(sheet, drawn, y=first + levels * pitch - 30)
    return sheet


def _step_down(sheet: Sheet, upper: Point, lower: Point, *, height: float) -> None:
    """From under a layer of that height to the one of the next level, which is half a step lower."""
    bend = upper[1] + 69
    sheet.line(
        (upper[0], upper[1] + height / 2),
        (upper[0], bend),
        (lower[0], bend),
        (lower[0], lower[1] - height / 2 + 12),
    )


def generator(config: ModelConfig, name: str) -> Sheet:
    """G: one convolution, residual blocks drawn once, a head, and bicubic interpolation beside them."""
    network = FrvsrGenerator(config)
    inputs = torch.rand(1, network.conv_in.in_channels, SIDE, SIDE)
    layers = trace(network, inputs)
    body = 1 + 3 * config.blocks  # a block is two convolutions and a sum
    first, block, head, (skip, _) = layers[:1], layers[1:4], layers[body:-2], layers[-2:]
    assert layers[1:body] == block * config.blocks, "the blocks are not alike: draw them one by one"

    sheet = Sheet(f"{name}: {config.features} features, {config.blocks} blocks, {config.head} head")
    row = Row(sheet, x=16, middle=160, tallest=76)
    folded = network.conv_in.in_channels - 3
    row.data("low", channels=3, y=-34)
    row.data("warped", "output", channels=folded, y=34, advance=True)
    sheet.line((72, 126), (80, 126), (80, 160), arrow=False)
    sheet.line((72, 194), (80, 194), (80, 160), arrow=False)
    row.x += 8
    row.layers(first)
    left = row.x + GAP
    sheet.line((row.x, 160), (left + GAP, 160), arrow=False)
    row.x = left + GAP
    row.layers(block[:2])
    row.arrow()
    row.plus()
    end = row.x + GAP
    sheet.line((left + 6, 160), (left + 6, 212), (row.x - 10, 212), (row.x - 10, 171))
    sheet.box(left - 4, 104, end - left + 4, 122, "none", dashed=True)
    sheet.text((left + end) / 2, 240, f"residual block, {config.blocks} times", size=12, faint=True)
    row.x = end
    row.layers(head)
    row.arrow()
    row.plus()
    sheet.line((44, 108), (44, 66), (row.x - 10, 66), (row.x - 10, 149))
    sheet.box(left, 54, 104, 24, "#fbeab0")
    sheet.text(left + 52, 66, f"{skip.kind}", size=12)
    row.arrow()
    row.data("high", channels=3)
    row.bottom = 232
    row.scales(first + head, y=258)
    legend(sheet, [*first, *block, *head], y=290)
    return sheet


def discriminator() -> Sheet:
    """D_s,t: three triplets in, one logit a patch out."""
    network = Discriminator()
    layers = trace(network, torch.rand(1, CHANNELS, SIDE, SIDE))
    sheet = Sheet("D s,t: nine pictures in, one logit for each patch out")
    middle = 140
    names = (("inputs, enlarged", -64), ("frames", 0), ("frames, moved onto t", 64))
    for words, offset in names:
        sheet.box(16, middle + offset - 22, 150, 44, DATA)
        sheet.text(91, middle + offset - 8, words)
        sheet.text(91, middle + offset + 10, f"t−1, t, t+1: {CHANNELS // len(names)}", size=11, faint=True)
        sheet.line((166, middle + offset), (184, middle + offset), (184, middle), arrow=False)
    row = Row(sheet, x=184, middle=middle, tallest=150)
    row.joint(str(CHANNELS))
    row.layers(layers)
    row.arrow()
    row.data("logits", channels=layers[-1].channels)
    row.scales(layers, full="H")
    legend(sheet, layers, y=row.bottom + 50, note="Every convolution is spectrally normalised.")
    return sheet


def main() -> int:
    """Write every drawing; with --check, write none and name those that differ."""
    sheets = {FOLDER / name: draw().render() for name, draw in drawings().items()}
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in sheets.items() if not path.exists() or path.read_text() != text]
        strays = [path.name for path in FOLDER.iterdir() if path not in sheets]
        for name in stale + strays:
            print(f"docs/drawings/{name} is not what scripts/drawings.py makes", file=sys.stderr)
        return 1 if stale + strays else 0
    for path, text in sheets.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
