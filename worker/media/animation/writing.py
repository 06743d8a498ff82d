"""Writes an animation from the lossless parts: pixels of the network, the source's own times and alpha.

Alpha never went through the network and lies in no part. It is read from the source again and enlarged by
bicubic, as sound is copied beside a video. One frame at a time is in memory. The file is written aside, read
back and compared with the plan, and only then gets its name. Start at `assemble`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise, repeat
from pathlib import Path
from typing import Final, Protocol

import av
import numpy as np

from service.errors import InputError, InvalidOption, OutputInvalid
from service.formats import ANIMATIONS
from worker.frames import HighFrame, Planes
from worker.media.animation.apng import ApngWriter
from worker.media.animation.gif import GifWriter, palettes_of
from worker.media.animation.reading import shown
from worker.media.animation.webp import WebpWriter
from worker.media.sandbox.reading import alphas
from worker.media.types import Source, Timeline
from worker.media.writing.atomic import written_whole

SIDE_MAX: Final = {"gif": 65_535, "webp": 16_383}  # what the format, or its library, can hold
# A delay is a count of steps: how long these may be, the finest first, and how many there can be.
STEPS_MS: Final = {"gif": (10,), "webp": (1,), "png": (1, 10, 100, 1000)}
STEP_COUNT_MAX: Final = {"gif": 0xFFFF, "webp": 0xFFFFFF, "png": 0xFFFF}
Enlarge = Callable[[Planes, tuple[int, int]], Planes]


class Writer(Protocol):
    """One file, frame after frame."""

    def add(self, canvas: Planes, delay_ms: int) -> None:
        """All that is seen: (H, W, 3) or, where the animation has transparency, (H, W, 4)."""

    def finish(self) -> None: ...


def check_output(kind: str, source: Source, timeline: Timeline, width: int, height: int) -> tuple[str, ...]:
    """Refuse what the format can't hold; returns notices of what else it can't, a video's as well."""
    if max(width, height) > SIDE_MAX.get(kind, max(width, height)):
        message = f"{kind} holds at most {SIDE_MAX[kind]} pixels a side, the result has {width}x{height}"
        raise InvalidOption(message, field="format", value=kind)
    if kind not in ANIMATIONS:
        is_transparent = source.pix_fmt == "rgba"
        return ("transparency was laid on white: a video has none",) if is_transparent else ()
    if step_ms(kind, timeline) is None:
        most_s, stays_s = STEPS_MS[kind][-1] * STEP_COUNT_MAX[kind] / 1000, _longest(timeline) / 1000
        message = f"a {kind} shows a frame for at most {most_s:.2f} s, one stays for {stays_s:g} s"
        raise InvalidOption(message, field="format", value=kind)
    if kind == "gif" and source.container != "gif":
        return ("a GIF has hundredths of a second, 256 colours, and no half-transparent pixels",)
    return ()


def assemble(
    parts: Sequence[Path],
    *,
    source_path: Path,
    source: Source,
    timeline: Timeline,
    size: tuple[int, int],
    kind: str,
    quality: int | None,
    enlarge_alpha: Enlarge,
    out: Path,
    on_frame: Callable[[], None] = lambda: None,
) -> None:
    """Write the animation to `out`.

    size      (width, height) of the result
    quality   1 to 100 for WebP, where 100 is lossless; the others are as good as they get
    enlarge_alpha   makes (H, W) of a plane (h, w) and the `size`
    on_frame  called for every frame written or read back; what it raises leaves no file
    Raises OutputInvalid where parts and plan disagree, or where the file read back is not what was meant.
    """
    step = step_ms(kind, timeline)
    assert step is not None, "check_output refused what the format can't hold"
    delays = _delays(timeline, step)
    canvases = _Canvases(parts, source_path, source, timeline.frame_count, size, enlarge_alpha, on_frame)
    with written_whole(out) as aside:
        with aside.open("wb") as file:
            writer: Writer
            if kind == "gif":
                palettes = palettes_of(canvases, (0, *timeline.cuts), timeline.frame_count)
                writer = GifWriter(file, size, plays=source.plays, palettes=palettes)
            elif kind == "webp":
                writer = WebpWriter(file, size, plays=source.plays, quality=quality)
            else:
                writer = ApngWriter(file, size, plays=source.plays, frame_count=len(delays))
            for canvas, delay_ms in zip(canvases, delays, strict=True):
                writer.add(canvas, delay_ms)
            writer.finish()
        meant = Source(kind="animation", container=kind, width=size[0], height=size[1])
        _check(aside, meant, delays, on_frame)


def step_ms(kind: str, timeline: Timeline) -> int | None:
    """The finest step in which an animation's format can count every delay; None where there is none."""
    longest = _longest(timeline)
    return next((step for step in STEPS_MS[kind] if longest <= step * STEP_COUNT_MAX[kind]), None)


def _longest(timeline: Timeline) -> int:
    """Milliseconds of the frame that stays longest."""
    return max(stop - start for start, stop in pairwise(_ends(timeline)))


def _ends(timeline: Timeline) -> tuple[int, ...]:
    """When each frame begins and the last one ends, in milliseconds."""
    return (*timeline.times, timeline.times[-1] + timeline.duration)


def _delays(timeline: Timeline, step: int) -> list[int]:
    """How long each frame is shown, in milliseconds; what a step can't hold is made up for by the next."""
    ends = _ends(timeline)
    steps = [0]
    for end in ends[1:]:
        # Halves go down: by `round`, which takes the even neighbour, a delay could become a step longer.
        steps.append(max(steps[-1] + 1, -((step - 2 * (end - ends[0])) // (2 * step))))
    return [(stop - start) * step for start, stop in pairwise(steps)]


@dataclass(frozen=True, slots=True)
class _Canvases:
    """All frames of the result in order, as often as they are asked for."""

    parts: Sequence[Path]
    source_path: Path
    source: Source
    frame_count: int
    size: tuple[int, int]
    enlarge_alpha: Enlarge
    on_frame: Callable[[], None]

    def __iter__(self) -> Iterator[Planes]:
        """(H, W, 3), or (H, W, 4) where the source has transparency; what can't be seen is black."""
        for high, alpha in zip(self._highs(), self._alphas(), strict=True):
            self.on_frame()
            yield high if alpha is None else np.dstack([high * (alpha > 0)[..., None], alpha])

    def _highs(self) -> Iterator[HighFrame]:
        count = 0
        for path in self.parts:
            with av.open(str(path), format="matroska") as container:
                for frame in container.decode(video=0):
                    count += 1
                    if count <= self.frame_count:
                        yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
        if count != self.frame_count:
            message = f"the parts hold {count} frames, the plan has {self.frame_count}"
            raise OutputInvalid(message, field="frames", value=count)

    def _alphas(self) -> Iterator[Planes | None]:
        if self.source.pix_fmt != "rgba":
            yield from repeat(None, self.frame_count)
            return
        with closing(
            alphas(self.source_path, self.source, self.frame_count, on_wait=self.on_frame)
        ) as planes:
            for alpha in planes:
                yield self.enlarge_alpha(alpha, self.size)


def _check(
    path: Path,
    meant: Source,
    delays: Sequence[int],
    on_frame: Callable[[], None],
) -> None:
    """Read the file as a viewer would, and compare it with what was meant."""
    found = []
    try:
        with closing(shown(path, meant)) as frames:
            for frame in frames:
                found.append(round(frame.delay_ms))
                on_frame()
    except InputError as error:  # of a reader; this file is ours
        raise OutputInvalid(f"the file read back: {error}", field="file") from error
    if found != list(delays):
        message = f"the file read back has {len(found)} frames or other delays than the {len(delays)} planned"
        raise OutputInvalid(message, field="times", value=len(found))
