"""Keeper: starts the zygote, again when it died, and asks it for processes.

It ends with this process, however that ends: its connection is cut then. Not here: what the zygote does
(zygote.py), what is done with its forks (parent.py).
"""

import atexit
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from worker.media.sandbox.ring import Ring
from worker.media.sandbox.wire import FORK

log = logging.getLogger(__name__)

# The rest of the environment has keys to storage and store, which no decoder needs.
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
_OWN_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",  # the zygote may have one thread only
    "MALLOC_ARENA_MAX": "2",  # each is 64 MB of the address space that is limited
    "MALLOC_MMAP_THRESHOLD_": str(512 * 1024),  # frames go back to the system when they are freed
}
_STOP_S: Final = 5.0  # it has nothing to do at its end


class Keeper:
    """Of one zygote; any thread may ask.

    module   that is run as the zygote
    """

    def __init__(self, module: str = "worker.media.sandbox.zygote") -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self, ring: Ring | None) -> tuple[socket.socket, int]:
        """The wire to a new process, and the pipe on which its end is told."""
        ours, theirs = socket.socketpair()
        verdict, verdict_of_zygote = os.pipe()
        shared = [] if ring is None else [ring.descriptor]
        try:
            self._ask([theirs.fileno(), verdict_of_zygote, *shared])
        except BaseException:
            ours.close()
            os.close(verdict)
            raise
        finally:
            theirs.close()
            os.close(verdict_of_zygote)
        return ours, verdict

    def start(self) -> None:
        """Let it load what it needs while the caller does other things."""
        with self._lock:
            self._running()

    def stop(self) -> None:
        """End it and all that it forked; it starts again when asked for a process."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _ask(self, descriptors: list[int]) -> None:
        with self._lock:
            try:
                socket.send_fds(self._running(), [FORK], descriptors)
            except ConnectionError:  # it died this very moment
                self._end()
                socket.send_fds(self._running(), [FORK], descriptors)

    def _running(self) -> socket.socket:
        """The connection to a zygote that lives, as far as one can know."""
        if self._process is not None and self._process.poll() is not None:
            log.error("zygote_ended", extra={"status": self._process.returncode})
            self._end()
        if self._process is None or self._control is None:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - ourselves
                    [sys.executable, "-P", "-m", self._module, str(theirs.fileno())],
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C in a terminal is for the worker
                )
        return self._control


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    places = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)
    return kept | _OWN_ENVIRONMENT | {"PYTHONPATH": places}


KEEPER: Final = Keeper()  # one zygote serves all of this process
atexit.register(KEEPER.stop)
