"""Mutants: files that begin as good ones and are mangled by chance, the same for the same seed.

Most of what breaks readers stands in headers and in the numbers that say how long something is, so half of
the changes are made near the beginning, and some write numbers that are one too many. Start at `mutant`.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

NUMBERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEAD_BYTES: Final = 512
CHANGES_MAX: Final = 6
PIECE_BYTES_MAX: Final = 256

Change = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutant(samples: Sequence[bytes], which: int, seed: int) -> bytes:
    """The sample `which`, changed in one to six places."""
    chance = random.Random(f"{seed} {which}")
    content = bytearray(samples[which % len(samples)])
    for _ in range(chance.randint(1, CHANGES_MAX)):
        if content:
            chance.choice(CHANGES)(chance, content, samples)
    return bytes(content)


def _place(chance: random.Random, content: bytearray) -> int:
    most = len(content) if chance.random() < 0.5 else min(len(content), HEAD_BYTES)
    return chance.randrange(most)


def _flip(chance: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    for _bit in range(chance.choice((1, 1, 2, 8))):
        content[_place(chance, content)] ^= 1 << chance.randrange(8)


def _noise(chance: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    place, length = _place(chance, content), chance.randint(1, 16)
    content[place : place + length] = chance.randbytes(length)


def _number(chance: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    place, width = _place(chance, content), chance.choice((1, 2, 4, 8))
    number = chance.choice(NUMBERS) & (1 << 8 * width) - 1
    content[place : place + width] = number.to_bytes(width, chance.choice(("big", "little")))


def _cut(chance: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    del content[_place(chance, content) :]


def _drop(chance: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    place = _place(chance, content)
    del content[place : place + chance.randint(1, PIECE_BYTES_MAX)]


def _repeat(chance: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    place = _place(chance, content)
    content[place:place] = content[place : place + chance.randint(1, PIECE_BYTES_MAX)] * chance.randint(1, 4)


def _graft(chance: random.Random, content: bytearray, samples: Sequence[bytes]) -> None:
    """A piece of another file in place of one of this."""
    other = chance.choice(samples)
    start, length = chance.randrange(len(other)), chance.randint(1, PIECE_BYTES_MAX)
    place = _place(chance, content)
    content[place : place + length] = other[start : start + length]


CHANGES: Final[tuple[Change, ...]] = (_flip, _flip, _noise, _number, _number, _cut, _drop, _repeat, _graft)
