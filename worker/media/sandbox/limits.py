"""What a process that reads media may use: memory, time, files, and nothing of the network.

Kernel limits, set once by the process itself before it opens the file and never lifted; only the processor
time is granted anew with each frame. What a system does not know is left out: macOS has no such filter and
ignores the limit of memory. Not here: what the worker watches from outside (parent.py). Start at `confine`.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from worker.media.sandbox.syscalls import forbid

CPU_S: Final = 60  # of all threads, from one frame to the next; the slowest seen takes three
FILES_MAX: Final = 32
# Beside what a process of Python has mapped before it reads anything. Of what FFmpeg and Pillow read here,
# HEVC of 4:4:4 and 10 bits takes most: 0.66 GB at 4096x2304, where this allows 2.3. Mapped is more than used.
BASE_BYTES: Final = 512 * 1024**2
PIXEL_BYTES: Final = 192

_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>


def memory_for(pixels: int) -> int:
    """Bytes that reading frames of so many pixels may take."""
    return BASE_BYTES + PIXEL_BYTES * pixels


def die_with(parent_pid: int) -> None:
    """End this process by the kernel's hand when that one does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before we asked to be told
        os._exit(1)


def confine(*, memory_bytes: int) -> None:
    """Take from this process all that reading a file does not need.

    memory_bytes   on top of what is mapped now
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_MAX, FILES_MAX))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    grant_time()
    if sys.platform == "linux":
        allowed = _mapped_bytes() + memory_bytes
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY or allowed < most:
            resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
        with suppress(OSError):  # where memory runs out all the same, not the worker is to be killed
            Path("/proc/self/oom_score_adj").write_text("1000")
        forbid()


def grant_time() -> None:
    """Let this process compute for another CPU_S before the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = int(used.ru_utime + used.ru_stime) + 1 + CPU_S
    if most == resource.RLIM_INFINITY or until < most:
        resource.setrlimit(resource.RLIMIT_CPU, (until, most))


def _mapped_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
