"""Child: one file, read in a process that has nothing else, and told of over a wire.

Every task is a function of the rooms that read, called as it is. Not here: who forks (zygote.py), what may be
used (limits.py), what the worker makes of what comes out (parent.py, reading.py).
"""

import base64
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import av

from service.errors import InputError, OutputInvalid
from worker.frames import Planes, is_deep
from worker.media.animation import reading as animation
from worker.media.pictures.reading import read_image
from worker.media.reading import decode as video
from worker.media.reading.probe import probe
from worker.media.reading.survey import survey
from worker.media.reading.timeline import scan
from worker.media.sandbox import limits
from worker.media.sandbox.ring import Ring
from worker.media.sandbox.wire import Message, Wire, told
from worker.media.types import Limits, Source, Timeline

TELL_S: Final = 0.05  # between two words of how far it is


class Child:
    """What a task has beside its arguments."""

    def __init__(self, connection: socket.socket, wire: Wire, ring: Ring | None) -> None:
        self._connection, self._wire, self._ring = connection, wire, ring
        self._told_at = time.monotonic()
        self._count = self._count_told = 0
        self._frame_count = 0
        self._free = 0 if ring is None else ring.slots

    def proceed(self, count: int | None = None) -> None:
        """Tell, now and then, that it goes on, and how many frames there were."""
        limits.grant_time()
        self._count = self._count + 1 if count is None else count
        if time.monotonic() - self._told_at > TELL_S:
            self.tell()

    def tell(self) -> None:
        if self._count > self._count_told:
            self._wire.send({"count": self._count})
            self._count_told = self._count
        self._told_at = time.monotonic()

    def show(self, *planes: Planes) -> None:
        """Lay all planes of one picture into the ring, one a slot."""
        assert self._ring is not None
        for place, plane in enumerate(planes):
            self._ring.put(place, plane)

    def give(self, frames: Iterable[Planes]) -> None:
        """Hand frames over, as far ahead as there is room."""
        assert self._ring is not None
        for frame in frames:
            limits.grant_time()
            while not self._free:
                freed = self._connection.recv(self._ring.slots)
                if not freed:
                    os._exit(0)  # the worker wants no more
                self._free += len(freed)
            self._ring.put(self._frame_count, frame)
            self._wire.send({"frame": self._frame_count})
            self._frame_count += 1
            self._free -= 1


Task = Callable[[Child, Path, Mapping[str, Any]], Message]


def main(connection: socket.socket, shared: int | None) -> None:
    """Do what one message after the other asks, and tell the result or the error, until there are no more."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # libraries complain there of what a file makes them do
    wire = Wire(connection)
    asked = wire.receive()
    if asked is None:
        return
    ring = None if shared is None else Ring(shared, asked["slot_bytes"], asked["slots"])
    limits.confine(memory_bytes=asked["memory_bytes"] + (0 if ring is None else ring.size_bytes))
    while asked is not None:
        limits.grant_time()
        _answer(Child(connection, wire, ring), wire, asked)
        asked = wire.receive()


def _answer(child: Child, wire: Wire, asked: Message) -> None:
    try:
        result = TASKS[asked["task"]](child, Path(asked["path"]), asked["arguments"])
        child.tell()
        wire.send({"done": result})
    except BrokenPipeError:
        os._exit(0)  # the worker wants no more
    except (InputError, OutputInvalid) as error:
        wire.send({"error": told(error)})
    except MemoryError:
        wire.send({"outgrown": True})
    except OSError as error:
        if isinstance(error, av.FFmpegError) or error.errno is None:
            wire.send({"broken": traceback.format_exc()})
        else:
            wire.send({"failed": [error.errno, error.strerror]})  # of the machine, not of the file
    except Exception:  # noqa: BLE001 - the top of a process: whatever a file makes our own code do
        wire.send({"broken": traceback.format_exc()})


def warm_up() -> None:
    """Build once what every fork would build."""
    plain = Source(kind="video", container="mp4").to_json()
    Source.from_json(plain)
    Timeline.from_json({"time_base": "1/25", "times": [0], "duration": 1, "keys": []}).to_json()


def _probe(child: Child, path: Path, given: Mapping[str, Any]) -> Message:
    return probe(path, limits=_limits(given)).to_json()


def _scan(child: Child, path: Path, given: Mapping[str, Any]) -> Message:
    timeline = scan(
        path,
        Source.from_json(given["source"]),
        limits=_limits(given),
        start_s=given["start_s"],
        duration_s=given["duration_s"],
        deinterlace=given["deinterlace"],
        on_frame=child.proceed,
    )
    return timeline.to_json()


def _survey(child: Child, path: Path, given: Mapping[str, Any]) -> Message:
    source = Source.from_json(given["source"])
    span = {name: given[name] for name in ("start_s", "duration_s")}
    found = survey(path, source, on_packet=child.proceed, **span)
    return asdict(found)


def _decode(child: Child, path: Path, given: Mapping[str, Any]) -> Message:
    source, timeline = Source.from_json(given["source"]), Timeline.from_json(given["timeline"])
    frames = video.decode(path, source, timeline, given["start"], given["stop"], on_picture=child.proceed)
    with closing(frames):
        child.give(frames)
    return {}


def _read_image(child: Child, path: Path, given: Mapping[str, Any]) -> Message:
    picture = read_image(path, pixels_max=given["pixels_max"], strip=given["strip"])
    child.show(picture.rgb, *(() if picture.alpha is None else (picture.alpha,)))
    return {
        "size": picture.rgb.shape[:2],
        "has_alpha": picture.alpha is not None,
        "is_deep": is_deep(picture.rgb),
        "is_grey": picture.is_grey,
        "icc": _as_text(picture.icc),
        "exif": _as_text(picture.exif),
        "format": picture.format,
        "notices": picture.notices,
    }


def _look_through(child: Child, path: Path, given: Mapping[str, Any]) -> Message:
    source, timeline = animation.look_through(
        path,
        given["kind"],
        limits=_limits(given),
        is_laid_on_white=given["is_laid_on_white"],
        on_frame=child.proceed,
    )
    return {"source": source.to_json(), "timeline": timeline.to_json()}


def _decode_animation(child: Child, path: Path, given: Mapping[str, Any]) -> Message:
    frames = animation.decode(
        path,
        Source.from_json(given["source"]),
        given["start"],
        given["stop"],
        is_laid_on_white=given["is_laid_on_white"],
        on_picture=child.proceed,
    )
    with closing(frames):
        child.give(frames)
    return {}


def _alphas(child: Child, path: Path, given: Mapping[str, Any]) -> Message:
    with closing(animation.shown(path, Source.from_json(given["source"]))) as frames:
        child.give(frame.alpha for frame in frames)
    return {}


def _as_text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _limits(given: Mapping[str, Any]) -> Limits:
    return Limits(pixels_max=given["pixels_max"], duration_s_max=given["duration_s_max"])


TASKS: Mapping[str, Task] = {
    "probe": _probe,
    "scan": _scan,
    "survey": _survey,
    "decode": _decode,
    "read_image": _read_image,
    "look_through": _look_through,
    "decode_animation": _decode_animation,
    "alphas": _alphas,
}
