"""The commands of the service: `serve`, `models list`; `submit`, keys and webhooks have modules."""

import argparse
import os
from pathlib import Path

from service.access import commands as keys
from service.auto import AUTO
from service.command import submitting
from service.command.arguments import CommandFailed, Commands, UsageError
from service.settings import Settings
from service.webhooks import commands as webhooks


def add(commands: Commands) -> None:
    command = commands.add("serve", _serve, help="run the whole service on this machine")
    command.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    command.add_argument("--port", type=int, help="port to listen on (default 8000, or PORT)")
    command.add_argument(
        "--data", type=Path, metavar="FOLDER", help="where everything is kept (default data)"
    )

    submitting.add(commands)
    commands.add("models list", _list, help="what the storage offers")
    keys.add(commands)
    webhooks.add(commands)


def _serve(parsed: argparse.Namespace) -> int:
    from service.serve import CannotServe, serve  # noqa: PLC0415

    overrides = {"host": parsed.host, "port": parsed.port or _port_of_environment(), "data_dir": parsed.data}
    settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    try:
        return serve(settings)
    except CannotServe as error:
        raise CommandFailed(str(error)) from error


def _port_of_environment() -> int | None:
    """PORT, as most hosts of services set it; UPSCALED_PORT works too."""
    text = os.environ.get("PORT")
    if text is None:
        return None
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise UsageError(f"PORT must be a port number, not {text!r}")
    return int(text)


def _list(_parsed: argparse.Namespace) -> int:
    from service.api.catalogue import Catalogue  # noqa: PLC0415 - boto3, only here
    from service.objects.open import open_storage  # noqa: PLC0415

    for entry in Catalogue(open_storage(Settings())).entries().values():
        version = entry.version or ("chosen by workers" if entry.name == AUTO else "with the workers")
        print(f"{entry.name:24} {version:17} {entry.card.get('summary', '')}".rstrip())
    return 0
