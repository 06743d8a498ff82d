"""Supervise: one child process that is started again when it dies and leaves nothing behind when stopped.

Each child lives in a session of its own, so that Ctrl-C reaches only us and we choose the order of stopping;
and on a leash (leash.py), so that it dies with us. Not here: which children there are (serve.py).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

RESTART_S_FIRST = 1.0
RESTART_S_MAX = (
    30.0  # the delay doubles up to this, so that a child that can't start does not burn the machine
)
STEADY_S = 60.0  # having run so long, a child that dies is started again at once
_LOOK_S = 0.05


class Child:
    """start() it, call tend() often, stop() it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stop_s_max: float,
        keep_open: Sequence[int] = (),
    ) -> None:
        """`keep_open`: file descriptors the child inherits, such as a lock to hold while it lives."""
        self.name = name
        self.deaths = 0  # that nobody asked for
        self._command = command
        self._environment = environment
        self._stop_s_max = stop_s_max
        self._keep_open = tuple(keep_open)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at: float | None = None
        self._delay_s = RESTART_S_FIRST

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        leash = [sys.executable, "-m", "service.leash", str(os.getpid())]
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            [*leash, *self._command],
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self._keep_open,
        )
        self._started_at = time.monotonic()
        self._restart_at = None

    def tend(self) -> int | None:
        """Start it again when its delay is over; its exit status when it was found dead, else None."""
        if self._restart_at is not None:
            if time.monotonic() >= self._restart_at:
                self.start()
            return None
        if self._process is None:
            return None
        status = self._process.poll()
        if status is None:
            return None
        self.deaths += 1
        self._kill_session()
        if time.monotonic() - self._started_at >= STEADY_S:
            self._delay_s = RESTART_S_FIRST
        self._restart_at = time.monotonic() + self._delay_s
        self._delay_s = min(RESTART_S_MAX, self._delay_s * 2)
        return status

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask, wait (no longer once `hurry` says so), then kill what is left of its session."""
        process = self._process
        self._restart_at = None
        if process is None:
            return
        process.terminate()
        deadline = time.monotonic() + self._stop_s_max
        while process.poll() is None and time.monotonic() < deadline and not hurry():
            time.sleep(_LOOK_S)
        self._kill_session()
        process.wait()
        self._process = None

    def _kill_session(self) -> None:
        """Also what it started itself: the group is named after the child and outlives it."""
        assert self._process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
