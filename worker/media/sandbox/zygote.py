"""Zygote: the process from which those that read media are forked, with all that they need loaded.

    python -m worker.media.sandbox.zygote DESCRIPTOR

A new Python with PyAV and Pillow takes half a second to start, a fork of this one some milliseconds. It has
one thread, as a fork copies no other, none of the worker's secrets in its environment, and touches no media.
It ends when the connection to its worker does, and with it all it forked. Not here: what a fork does
(child.py).
"""

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import cv2
from PIL import Image

from worker.media.sandbox import child, limits
from worker.media.sandbox.wire import FORK, VERDICT

_DESCRIPTORS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class _Forked:
    """Kept of a fork until it ends: the wire's other end, to see it cut, and the pipe for the verdict."""

    pid: int
    wire: int
    verdict: int


def main(descriptor: int) -> None:
    """Fork as the worker asks until it is gone."""
    Image.init()  # all readers, which it would look for at the first file it does not know
    cv2.setNumThreads(1)
    child.warm_up()
    gc.collect()
    gc.freeze()  # or a fork's first collection would copy every page
    with socket.socket(fileno=descriptor) as control:
        _Zygote(control).run()


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._poll = select.poll()
        self._forked: dict[int, _Forked] = {}  # by the descriptor of the wire

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        try:
            while True:
                for descriptor, _ in self._poll.poll():
                    if descriptor == self._woken:
                        self._reap()
                    elif descriptor in self._forked:
                        self._end(self._forked[descriptor])
                    elif descriptor == self._control.fileno() and not self._fork():
                        return
        finally:
            for forked in self._forked.values():
                os.kill(forked.pid, signal.SIGKILL)

    def _fork(self) -> bool:
        """Fork for what the worker sent; False when it is gone."""
        try:
            asked, descriptors, _, _ = socket.recv_fds(self._control, len(FORK), _DESCRIPTORS_MAX)
        except ConnectionError:
            return False
        if asked != FORK:
            return False
        wire, verdict, *shared = descriptors
        zygote_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_child(zygote_pid, wire, verdict, shared)
        for each in shared:
            os.close(each)
        self._forked[wire] = _Forked(pid, wire, verdict)
        self._poll.register(wire, 0)  # a hang-up is told without being asked for
        return True

    def _become_child(self, zygote_pid: int, wire: int, verdict: int, shared: list[int]) -> None:
        """Does not return. Nothing of the zygote's or of another fork's stays open."""
        status = 1
        try:
            limits.die_with(zygote_pid)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            others = [each for forked in self._forked.values() for each in (forked.wire, forked.verdict)]
            for each in (self._woken, self._waker, verdict, *others):
                os.close(each)
            child.main(socket.socket(fileno=wire), shared[0] if shared else None)
            status = 0
        finally:
            os._exit(status)

    def _end(self, forked: _Forked) -> None:
        """The worker let go of it."""
        self._poll.unregister(forked.wire)
        os.kill(forked.pid, signal.SIGKILL)  # not waited for yet, so the number is still its own

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._woken, 512):
                pass
        by_pid = {forked.pid: forked for forked in self._forked.values()}
        while by_pid:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            forked = by_pid.pop(pid)
            del self._forked[forked.wire]
            with suppress(KeyError):  # it was let go before
                self._poll.unregister(forked.wire)
            resident = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            with suppress(BrokenPipeError):  # nobody wants to know
                os.write(forked.verdict, VERDICT.pack(status, resident))
            os.close(forked.verdict)
            os.close(forked.wire)  # after the verdict: who sees this end may read that


if __name__ == "__main__":
    main(int(sys.argv[1]))
