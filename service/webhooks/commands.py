"""The commands `webhooks new-secret` and `webhooks secret`: what messages are signed with."""

import argparse
import secrets

from service.access.keys import UnknownKey, list_all
from service.command.arguments import CommandFailed, Commands
from service.settings import Settings
from service.webhooks.signing import secrets_of, shown

_SECRET_BYTES = 32


def add(commands: Commands) -> None:
    commands.add("webhooks new-secret", _new_secret, help="make one for UPSCALED_WEBHOOK_SECRETS")

    command = commands.add("webhooks secret", _secret, help="print what a receiver checks messages with")
    command.add_argument(
        "name", metavar="KEY", nargs="?", help="name or id of the key whose jobs they are of"
    )


def _new_secret(_parsed: argparse.Namespace) -> int:
    print(shown(secrets.token_bytes(_SECRET_BYTES)))
    return 0


def _secret(parsed: argparse.Namespace) -> int:
    """The newest first."""
    settings = Settings()
    if not settings.webhook_keys:
        raise CommandFailed("UPSCALED_WEBHOOK_SECRETS is not set: there are no webhooks")
    owner = None if parsed.name is None else _owner(settings, parsed.name)
    for secret in secrets_of(settings.webhook_keys, owner):
        print(shown(secret))
    return 0


def _owner(settings: Settings, name: str) -> str:
    from service.objects.open import open_storage  # noqa: PLC0415 - boto3, only here

    for key in list_all(open_storage(settings)):
        if name in (key.name, key.id) and key.revoked_at is None:
            return key.id
    raise UnknownKey(f"no key in use is called {name!r}", field="name", value=name)
