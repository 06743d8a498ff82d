"""Machine: a small disk and a wrong clock for single processes, where the machine lets us make them.

Neither touches the machine's own, and both are gone with their processes.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.servers import ROOT

DISK_MB: Final = 24
_FAKETIME: Final = "libfaketimeMT.so.1"  # for processes with threads


def mounting(disk: Path | None) -> list[str]:
    """What makes the program after it see a small disk of its own there."""
    if disk is None:
        return []
    unshare = shutil.which("unshare")
    assert unshare is not None, "may_mount said so"
    script = f'mkdir -p "$0" && mount -t tmpfs -o size={DISK_MB}m tmpfs "$0" && exec "$@"'
    return [unshare, "--mount", "sh", "-c", script, str(disk)]


def may_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = subprocess.run([*mounting(folder / "probe"), "true"], capture_output=True, check=False)
    return probe.returncode == 0


class Clock:
    """A process's, put wrong by libfaketime, which reads in a file by how far."""

    def __init__(self, library: Path, path: Path) -> None:
        self._path = path
        self.environment = os.environ | {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.jump(0)

    @classmethod
    def found(cls, folder: Path) -> "Clock | None":
        library = ROOT / ".tools" / _FAKETIME  # `make chaos` puts it there
        return cls(library, folder / "clock") if library.exists() else None

    def jump(self, seconds: int) -> None:
        """By so much it is off from now on."""
        self._path.write_text(f"{seconds:+d}\n")
