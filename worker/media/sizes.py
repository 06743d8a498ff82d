"""How large a result becomes: so many times its input, or the largest that fits what was asked for.

Sizes that people ask for are of what they see, upright and with square pixels; files store frames turned and
with pixels of other shapes, and keep that. Not here: the filter that makes it so (worker/engine/reducing.py).
"""

from fractions import Fraction
from typing import Final

from service.errors import InvalidOption
from service.formats import SIZES, SizeWanted

TIMES_MAX: Final = 4  # what the networks make; more would be blown up


def target_size(
    stored: tuple[int, int],
    wanted: SizeWanted,
    *,
    sar: Fraction = Fraction(1),
    rotation: int = 0,
    is_even: bool = False,
) -> tuple[int, int]:
    """Width and height to store, from those of the input as stored.

    sar, rotation   how a player stretches (width over height of a pixel) and turns (degrees) what is stored
    is_even         whether both sides must be: subsampled chroma leaves no choice
    Raises InvalidOption where more than `TIMES_MAX` times would be needed.
    """
    shown = (stored[0] * sar, Fraction(stored[1]))
    if rotation % 180 == 90:
        shown = shown[::-1]
    option, times = _times(wanted, *shown)
    if times > TIMES_MAX:
        most = "x".join(str(int(side * TIMES_MAX)) for side in shown)
        raise InvalidOption(
            f"that would be {float(times):.2f} times as large; {TIMES_MAX} times, {most}, is the most",
            field=option,
            value=getattr(wanted, option),
        )
    step = 2 if is_even else 1
    across, down = (max(step, round(side * times / step) * step) for side in stored)
    return across, down


def _times(wanted: SizeWanted, width: Fraction, height: Fraction) -> tuple[str, Fraction]:
    """The option that decides, and the factor it comes to for what is shown with that width and height."""
    fits: dict[str, Fraction] = {}
    if wanted.size is not None:
        long, short = SIZES[wanted.size]
        fits["size"] = min(long / max(width, height), short / min(width, height))
    if wanted.width is not None:
        fits["width"] = wanted.width / width
    if wanted.height is not None:
        fits["height"] = wanted.height / height
    if not fits:
        return "scale", Fraction(wanted.scale)
    return min(fits.items(), key=lambda item: item[1])
