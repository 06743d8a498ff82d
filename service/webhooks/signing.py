"""Signing, by https://www.standardwebhooks.com, so that receivers check us with its libraries.

A secret is `whsec_` and base64. Two can be valid at a time, so that receivers change theirs one by one. Where
callers have keys each has secrets of its own, which follow from the service's, or any of them could pretend
to another's receiver to be us.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRETS_MAX: Final = 2
_BYTES_MIN, _BYTES_MAX = 24, 64  # as the standard has it


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Of a list with commas, the newest first; raises ValueError, which shows none."""
    secrets = tuple(_read(each.strip()) for each in text.split(",") if each.strip())
    if not 1 <= len(secrets) <= SECRETS_MAX:
        raise ValueError(f"there are 1 to {SECRETS_MAX} secrets of webhooks, with a comma between them")
    return secrets


def shown(secret: bytes) -> str:
    return PREFIX + b64encode(secret).decode()


def secrets_of(secrets: Sequence[bytes], owner: str | None) -> tuple[bytes, ...]:
    """What the receivers of this owner know."""
    if owner is None:
        return tuple(secrets)
    return tuple(hmac.digest(secret, f"owner {owner}".encode(), hashlib.sha256) for secret in secrets)


def signed(secrets: Sequence[bytes], *, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of one message, with a signature by each secret."""
    content = f"{message_id}.{at_s}.".encode() + body
    digests = (b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }


def _read(text: str) -> bytes:
    try:
        secret = b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError:
        secret = b""
    if not text.startswith(PREFIX) or not _BYTES_MIN <= len(secret) <= _BYTES_MAX:
        raise ValueError(f"a secret of webhooks is {PREFIX} and {_BYTES_MIN} to {_BYTES_MAX} bytes in base64")
    return secret
