"""Previews: now and then the frame finished last as a small JPEG in storage, to see how a job comes out.

A second JPEG has it on the right of what came in: one object, so that the two never are of different frames.
A courtesy to whoever waits. It takes at most a fiftieth of a worker's time for a job, however slow the
storage is, and whatever breaks it is logged and costs the job nothing.
Who reads it: service/api/routes/previews.py.
"""

import io
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Final

import cv2
import numpy as np

from service.jobs import keys
from service.objects.base import Storage
from worker.frames import Planes, in_bytes
from worker.job.held import Held
from worker.media.pictures.picture import Picture
from worker.media.pictures.writing import save_image
from worker.media.tonemap import for_eyes
from worker.media.types import Colour

log = logging.getLogger(__name__)

EVERY_S: Final = 3.0  # people look no more often
TIME_SHARE_MAX: Final = 0.02  # one that took long is followed by a longer pause
SIDE_MAX: Final = 1280  # pixels; a JPEG of it has some 200 kB
QUALITY: Final = 80


class Previews:
    """One for a worker. `show` from any thread, for each finished frame: most calls return at once."""

    def __init__(self, storage: Storage, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage, self._clock = storage, clock
        self._lock = threading.Lock()
        self._due_at: dict[str, float] = {}  # by job; shots of one job run side by side and share its time
        self._in_hand: dict[str, threading.Event] = {}  # by job: set when the one being stored is there

    def show(
        self,
        held: Held,
        high: Callable[[], Picture],
        low: Picture,
        *,
        sar: Fraction = Fraction(1),
        rotation: int = 0,
        colour: Colour | None = None,
        is_last: bool = False,
    ) -> None:
        """Store the frame as the job's preview if it is time for one, or if no frame follows.

        high                    gives it
        low                     what it was made of
        sar, rotation, colour   what a player would do to the frame, as in `Source`
        """
        job_id = held.lease.job_id
        if not self._claim(job_id) and not is_last:
            if not held.frames_done:  # progress promises a preview, so the first of a shot's waits for one
                self._wait(job_id)
            return
        began_at = self._clock()
        try:
            with held.timed("preview"):
                after = small(high(), sar=sar, rotation=rotation, colour=colour)
                self._write(keys.preview_key(job_id), after)
                self._write(keys.pair_key(job_id), beside(low, after, rotation=rotation, colour=colour))
        except Exception:  # whatever it is, the frames are well, and they are what was asked for
            log.warning("preview_skipped", exc_info=True, extra={"job": job_id})
        now = self._clock()
        with self._lock:
            self._due_at[job_id] = now + max(EVERY_S, (now - began_at) / TIME_SHARE_MAX)
            if (stored := self._in_hand.pop(job_id, None)) is not None:
                stored.set()

    def _claim(self, job_id: str) -> bool:
        """Whether it is time; if so, for nobody else."""
        now = self._clock()
        with self._lock:
            if now < self._due_at.get(job_id, now):
                return False
            self._due_at = {other: due_at for other, due_at in self._due_at.items() if now < due_at}
            self._due_at[job_id] = now + EVERY_S
            self._in_hand.setdefault(job_id, threading.Event())
            return True

    def _wait(self, job_id: str) -> None:
        with self._lock:
            stored = self._in_hand.get(job_id)
        if stored is not None:
            stored.wait()

    def _write(self, key: str, picture: Picture) -> None:
        content = io.BytesIO()
        save_image(picture, content, kind="jpeg", quality=QUALITY)
        self._storage.put(key, content.getvalue())


def small(
    high: Picture, *, sar: Fraction = Fraction(1), rotation: int = 0, colour: Colour | None = None
) -> Picture:
    """The picture as players show it, at most `SIDE_MAX` pixels a side, without EXIF, at eight bits."""
    height, width = high.rgb.shape[:2]
    shown_width = width * sar
    fit = min(Fraction(1), SIDE_MAX / max(shown_width, Fraction(height)))
    size = max(1, round(shown_width * fit)), max(1, round(height * fit))
    return _shown(high, size, rotation=rotation, colour=colour)


def beside(low: Picture, after: Picture, *, rotation: int = 0, colour: Colour | None = None) -> Picture:
    """What came in, as large as what `small` made of its output and on the left of that."""
    height, width = after.rgb.shape[:2]
    size = (width, height) if rotation % 180 == 0 else (height, width)
    before = _shown(low, size, rotation=rotation, colour=colour)
    alpha = None
    if before.alpha is not None and after.alpha is not None:
        alpha = np.hstack([before.alpha, after.alpha])
    return replace(after, rgb=np.hstack([before.rgb, after.rgb]), alpha=alpha)


def _shown(picture: Picture, size: tuple[int, int], *, rotation: int, colour: Colour | None) -> Picture:
    """At that width and height, then turned, for eyes, without EXIF."""

    def turned(pixels: Planes) -> Planes:
        is_larger = size[0] > pixels.shape[1]
        how = cv2.INTER_CUBIC if is_larger else cv2.INTER_AREA
        fitted = cv2.resize(pixels, size, interpolation=how)
        return np.ascontiguousarray(np.rot90(fitted, rotation // 90), dtype=pixels.dtype)

    alpha = None if picture.alpha is None else in_bytes(turned(picture.alpha))
    return replace(picture, rgb=for_eyes(turned(picture.rgb), colour), alpha=alpha, exif=None)
