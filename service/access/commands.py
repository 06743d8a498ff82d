"""The commands `keys create`, `keys list` and `keys revoke`: on the storage that the settings name."""

import argparse
from datetime import UTC, datetime
from typing import get_args

from service.access.keys import Role, create, list_all, revoke
from service.command.arguments import Commands
from service.objects.base import Storage
from service.settings import Settings


def add(commands: Commands) -> None:
    command = commands.add("keys create", _create, help="make a key and print it, once")
    command.add_argument("name", metavar="NAME", help="whose it is; of keys in use each has its own")
    command.add_argument("--role", choices=get_args(Role), default="user", help="an admin sees all jobs")

    commands.add("keys list", _list, help="names, roles and times, never a key itself")

    command = commands.add("keys revoke", _revoke, help="let a key in no longer; its jobs stay")
    command.add_argument("name", metavar="NAME", help="name or id of the key")


def _create(parsed: argparse.Namespace) -> int:
    print(create(_storage(), parsed.name, parsed.role))
    return 0


def _list(_parsed: argparse.Namespace) -> int:
    for key in list_all(_storage()):
        until = "" if key.revoked_at is None else f" until {_time(key.revoked_at)}"
        print(f"{key.id} {key.name:24} {key.role:5} since {_time(key.created_at)}{until}")
    return 0


def _revoke(parsed: argparse.Namespace) -> int:
    key = revoke(_storage(), parsed.name)
    print(f"{key.name} ({key.id}) is let in no longer")
    return 0


def _storage() -> Storage:
    from service.objects.open import open_storage  # noqa: PLC0415 - boto3, only here

    return open_storage(Settings())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
