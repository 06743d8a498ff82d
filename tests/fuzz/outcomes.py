"""What becomes of a file that a worker is given: frames, or a typed error; and what it took.

Read by the same functions and in the same order as by a job. Anything else than an error of the owner's,
which a job would fail with, is passed on to who asked. Start at `outcome`.
"""

import os
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from service.animated import is_animated, reader_of
from service.errors import InputError
from service.formats import PICTURES
from worker.frames import LowFrame
from worker.media.reading.container import sniff
from worker.media.sandbox import pictures
from worker.media.sandbox.keeper import KEEPER
from worker.media.sandbox.limits import memory_for
from worker.media.sandbox.pictures import read_image
from worker.media.sandbox.reading import decode, decode_animation, look_through, probe, scan
from worker.media.sandbox.ring import Ring
from worker.media.sandbox.wire import VERDICT
from worker.media.types import Limits

LIMITS: Final = Limits(pixels_max=1024 * 1024, duration_s_max=60.0)
MEMORY_MAX: Final = memory_for(LIMITS.pixels_max)
FRAMES_MAX: Final = 100  # of a mutant that claims many


@dataclass(frozen=True, slots=True)
class Outcome:
    """how        "frames", or the code of the error
    took_s        seconds in all
    memory_bytes  the most that was resident in one of its readers
    is_broken     whether a reader crashed, hung or was stopped at a limit
    """

    how: str
    took_s: float
    memory_bytes: int
    is_broken: bool


def outcome(path: Path) -> Outcome:
    started, is_broken = time.monotonic(), False
    with _watched() as memory_bytes:
        try:
            how = "frames" if _frame_count(path) else "nothing"
        except InputError as error:
            how, is_broken = error.code, "its reader" in str(error)
        took_s = time.monotonic() - started
    return Outcome(how, took_s, max(memory_bytes, default=0), is_broken)


def _frame_count(path: Path) -> int:
    kind = sniff(path)
    if kind not in PICTURES:
        source = probe(path, limits=LIMITS)
        timeline = scan(path, source, limits=LIMITS)
        return _count(decode(path, source, timeline, 0, timeline.frame_count))
    with reader_of(path) as read:
        is_moving = is_animated(kind, read)
    if not is_moving:
        return read_image(path, pixels_max=LIMITS.pixels_max).rgb.size
    source, timeline = look_through(path, kind, limits=LIMITS, is_laid_on_white=False)
    return _count(decode_animation(path, source, 0, timeline.frame_count, is_laid_on_white=False))


def _count(frames: Generator[LowFrame]) -> int:
    with closing(frames):
        return sum(1 for _ in islice(frames, FRAMES_MAX))


@contextmanager
def _watched() -> Iterator[list[int]]:
    """The most memory of each reader that is started in the block, once it is left; 0 of one that broke."""
    found: list[int] = []
    pipes: list[int] = []
    fork = KEEPER.fork

    def noted(ring: Ring | None) -> tuple[socket.socket, int]:
        wire, verdict = fork(ring)
        pipes.append(os.dup(verdict))
        return wire, verdict

    KEEPER.fork = noted  # type: ignore[method-assign]
    try:
        yield found
    finally:
        del KEEPER.fork
        pictures.POOL.close()
        for pipe in pipes:
            raw = os.read(pipe, VERDICT.size)  # waits for the end of the process
            found.append(VERDICT.unpack(raw)[1] if raw else 0)
            os.close(pipe)
