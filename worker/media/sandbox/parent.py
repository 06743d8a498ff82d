"""Parent: has a file read by a process forked for it, watches over that, and knows how it ended.

Not here: where such processes come from (keeper.py), the functions that callers use (reading.py). Start at
`reading`.
"""

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from service.errors import BrokenMedia, TransientError
from worker.media.sandbox.keeper import KEEPER, Keeper
from worker.media.sandbox.limits import CPU_S, memory_for
from worker.media.sandbox.ring import Ring
from worker.media.sandbox.wire import VERDICT, Message, Unreadable, Wire, raised

log = logging.getLogger(__name__)

SILENT_S: Final = 120.0  # without a word, a process hangs; below what a step may be silent
LOOK_S: Final = 0.5  # how often a caller that waits is asked whether it still does
_ENDED_BY_FILE: Final = {
    signal.SIGXCPU: f"computed for {CPU_S} s and came no further",
    signal.SIGSEGV: "crashed",
    signal.SIGBUS: "crashed",
    signal.SIGILL: "crashed",
    signal.SIGFPE: "crashed",
    signal.SIGABRT: "gave up",
    signal.SIGSYS: "did what no reader does",
    signal.SIGXFSZ: "did what no reader does",
    signal.SIGTRAP: "crashed",
}


def nothing() -> None:
    """For callers whom waiting costs nothing."""


@contextmanager
def reading(
    task: str,
    path: Path,
    arguments: Mapping[str, Any],
    *,
    pixels: int,
    ring: Ring | None = None,
    keeper: Keeper = KEEPER,
) -> Iterator["Reader"]:
    """A process that does the task with the file, ended when the block is.

    pixels   of the largest frame there may be, by which its memory is bounded
    ring     for tasks that give frames
    """
    with closing(Reader(pixels=pixels, ring=ring, keeper=keeper)) as reader:
        reader.ask(task, path, arguments)
        yield reader


class Reader:
    """A process that reads, as the worker sees it; for one thread at a time."""

    def __init__(self, *, pixels: int, ring: Ring | None, keeper: Keeper) -> None:
        self._pixels, self._ring = pixels, ring
        self._connection, self._verdict = keeper.fork(ring)
        self._wire = Wire(self._connection)

    def close(self) -> None:
        """End it."""
        self._connection.close()  # which the zygote sees
        os.close(self._verdict)

    @property
    def is_idle(self) -> bool:
        """Whether it lives and says nothing."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return not poll.poll(0) and not self._wire.has_more

    def ask(self, task: str, path: Path, arguments: Mapping[str, Any]) -> None:
        """Have it do a task; what the last one had to give must have been taken."""
        ring = self._ring
        self._connection.settimeout(SILENT_S)
        with suppress(ConnectionError):  # it died young; its verdict says of what
            self._wire.send(
                {
                    "task": task,
                    "path": str(path.absolute()),
                    "arguments": dict(arguments),
                    "memory_bytes": memory_for(self._pixels),
                    "slot_bytes": 0 if ring is None else ring.slot_bytes,
                    "slots": 0 if ring is None else ring.slots,
                }
            )
        self._connection.settimeout(LOOK_S)

    def result(
        self, *, on_count: Callable[[int], None] = lambda _: None, on_wait: Callable[[], None] = nothing
    ) -> Message:
        """What the task gives in the end.

        on_count   told now and then how many frames there were
        on_wait    called twice a second while nothing is heard; may raise
        Raises     the task's own error; BrokenMedia where the process crashed, hung or outgrew its limits;
                   OSError where the machine failed; TransientError where someone else ended it
        """
        while (message := self._next(on_wait)).keys() == {"count"}:
            on_count(_count(message["count"]))
        return self._ended(message)

    def frames(self, *, on_wait: Callable[[], None] = nothing) -> Generator[int, None, Message]:
        """The number of each frame when it lies in the ring; it is free again when the next one is asked for.

        Returns and raises as `result` does.
        """
        place = 0
        while True:
            message = self._next(on_wait)
            if message.keys() == {"frame"}:
                yield place
                place += 1
                with suppress(ConnectionError):
                    self._connection.sendall(b"+")
            elif message.keys() != {"count"}:
                return self._ended(message)

    def _next(self, on_wait: Callable[[], None]) -> Message:
        heard_at = time.monotonic()
        while True:
            try:
                message = self._wire.receive()
            except TimeoutError:
                on_wait()
                if time.monotonic() - heard_at > SILENT_S:
                    raise _broken(f"was silent for {SILENT_S:.0f} s and was ended") from None
            except ConnectionError:
                raise self._died() from None
            except Unreadable as error:
                raise _broken(f"told nonsense: {error}") from None
            else:
                if message is None:
                    raise self._died()
                return message

    def _ended(self, message: Message) -> Message:
        """The result, or the error that stands in its place."""
        match message:
            case {"done": dict(result)}:
                return result
            case {"error": dict(plain)}:
                raise raised(plain)
            case {"outgrown": True}:
                raise _broken("needed more memory than files of this size may take")
            case {"failed": [int(number), str(what)]}:
                raise OSError(number, what)
            case {"broken": str(trace)}:
                log.error("reading_broken", extra={"trace": trace[-4000:]})
                raise BrokenMedia("the file made its reader fail", field="file")
        raise _broken("told nonsense")

    def _died(self) -> Exception:
        raw = os.read(self._verdict, VERDICT.size)
        if len(raw) < VERDICT.size:
            return TransientError("the process that starts readers ended")
        status, _ = VERDICT.unpack(raw)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in _ENDED_BY_FILE:
            number = os.WTERMSIG(status)
            log.warning("reader_ended", extra={"signal": number})
            return _broken(_ENDED_BY_FILE[signal.Signals(number)])
        if os.WIFSIGNALED(status):
            return TransientError(f"a reader was ended by signal {os.WTERMSIG(status)}")
        return _broken("ended without a word")


def _count(told: object) -> int:
    if not isinstance(told, int):
        raise _broken("told nonsense")
    return told


def _broken(what: str) -> BrokenMedia:
    return BrokenMedia(f"the file cannot be read: its reader {what}", field="file")
