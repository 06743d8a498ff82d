"""The commands `keys create`, `list`, `limit` and `revoke`: on the storage that the settings name."""

import argparse
import re
from datetime import UTC, datetime
from typing import Final, get_args

from service.access.keys import Role, create, limit, list_all, revoke
from service.command.arguments import Commands
from service.errors import InvalidOption
from service.jobs.quotas import Quota
from service.objects.base import Storage
from service.settings import Settings

_SUFFIXES: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_QUOTA: Final = (
    "one of " + ", ".join(Quota.model_fields) + "; K, M, G and T are thousands; may be given several times"
)


def add(commands: Commands) -> None:
    command = commands.add("keys create", _create, help="make a key and print it, once")
    command.add_argument("name", metavar="NAME", help="whose it is; of keys in use each has its own")
    command.add_argument("--role", choices=get_args(Role), default="user", help="an admin sees all jobs")

    _add_quota(command)

    commands.add("keys list", _list, help="names, roles, times and quotas, never a key itself")

    command = commands.add("keys limit", _limit, help="give a key another quota; without any, the usual one")
    command.add_argument("name", metavar="NAME", help="name or id of the key")
    _add_quota(command)

    command = commands.add("keys revoke", _revoke, help="let a key in no longer; its jobs stay")
    command.add_argument("name", metavar="NAME", help="name or id of the key")


def _add_quota(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quota", metavar="WHAT=NUMBER", action="append", default=[], help=_QUOTA)


def _create(parsed: argparse.Namespace) -> int:
    print(create(_storage(), parsed.name, parsed.role, _quota(parsed.quota)))
    return 0


def _list(_parsed: argparse.Namespace) -> int:
    for key in list_all(_storage()):
        until = "" if key.revoked_at is None else f" until {_time(key.revoked_at)}"
        limits = "".join(f" {name}={value}" for name, value in key.quota if value is not None)
        print(f"{key.id} {key.name:24} {key.role:5} since {_time(key.created_at)}{until}{limits}")
    return 0


def _limit(parsed: argparse.Namespace) -> int:
    key = limit(_storage(), parsed.name, _quota(parsed.quota))
    print(f"{key.name} ({key.id}) has another quota within seconds")
    return 0


def _quota(given: list[str]) -> Quota:
    """From `WHAT=NUMBER` each; raises InvalidOption."""
    limits = {}
    for text in given:
        what, _, number = text.partition("=")
        match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", number)
        if what not in Quota.model_fields or match is None or int(match[1]) == 0:
            raise InvalidOption(f"--quota {text}: WHAT=NUMBER is wanted, {_QUOTA}", field=what, value=number)
        limits[what] = int(match[1]) * _SUFFIXES[match[2]]
    return Quota(**limits)


def _revoke(parsed: argparse.Namespace) -> int:
    key = revoke(_storage(), parsed.name)
    print(f"{key.name} ({key.id}) is let in no longer")
    return 0


def _storage() -> Storage:
    from service.objects.open import open_storage  # noqa: PLC0415 - boto3, only here

    return open_storage(Settings())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
