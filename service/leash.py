"""Leash: become another command, in the way a child of `serve` should live.

    python -m service.leash PARENT_PID COMMAND ARGUMENT...

The command gets SIGTERM from the kernel when its parent dies, also by kill -9, so nothing runs on unseen.
Not done by a `preexec_fn`, which is unsafe beside threads. Linux only; elsewhere the command just runs.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Does not return."""
    parent_pid, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it died before we asked to be told
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - without a shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
