"""Wire: messages between this process and one that reads media, as JSON behind their length.

Nothing that comes in can be more than plain data, and both its size and the errors it can name are bounded:
the process at the other end may be in the hands of whoever made the file. Not here: what the messages mean
(parent.py, child.py), frames (ring.py).
"""

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from service.errors import BrokenMedia, InputError, OutputInvalid, UpscaleError

MESSAGE_BYTES_MAX: Final = 128 * 1024**2  # the timeline of as many frames as settings allow has a third
FORK: Final = b"f"  # to the zygote, with the descriptors that the fork shall have
# What the zygote tells of a process that ended: its wait status, and the most memory it had, in bytes.
VERDICT: Final = struct.Struct("=iq")
_TEXT_MAX: Final = 1000  # characters of what an owner is told
_LENGTH: Final = struct.Struct(">I")
_READ_BYTES: Final = 64 * 1024

Message = dict[str, Any]


class Unreadable(Exception):
    """What came in is no message."""


class Wire:
    """One end of a connection; not for two threads at once."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._held = bytearray()

    @property
    def has_more(self) -> bool:
        """Whether anything came in that was not asked for yet."""
        return bool(self._held)

    def send(self, message: Message) -> None:
        body = json.dumps(message).encode()
        self.connection.sendall(_LENGTH.pack(len(body)) + body)

    def receive(self) -> Message | None:
        """The next message, or None at the end. Where the connection has a time-out, TimeoutError may be
        raised, and the call made again.

        Raises Unreadable.
        """
        while (body := self._take()) is None:
            chunk = self.connection.recv(_READ_BYTES)
            if not chunk:
                return None
            self._held += chunk
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unreadable(str(error)) from error
        if not isinstance(message, dict):
            raise Unreadable(f"a {type(message).__name__} is no message")
        return message

    def _take(self) -> bytes | None:
        if len(self._held) < _LENGTH.size:
            return None
        [length] = _LENGTH.unpack_from(self._held)
        if length > MESSAGE_BYTES_MAX:
            raise Unreadable(f"a message of {length} bytes")
        if len(self._held) < _LENGTH.size + length:
            return None
        body = bytes(self._held[_LENGTH.size : _LENGTH.size + length])
        del self._held[: _LENGTH.size + length]
        return body


def told(error: UpscaleError) -> Message:
    """An error as plain data."""
    value = error.value
    if value is not None and not isinstance(value, str | int | float):
        value = str(value)
    return {"code": error.code, "message": str(error), "field": error.field, "value": value}


def raised(plain: Message) -> UpscaleError:
    """The same error again, to be raised here; damage where it names none that reading media can end in."""
    kind: type[UpscaleError] = _KINDS.get(str(plain.get("code")), BrokenMedia)
    field, value = plain.get("field"), plain.get("value")
    return kind(
        str(plain.get("message"))[:_TEXT_MAX],
        field=None if field is None else str(field)[:_TEXT_MAX],
        value=value[:_TEXT_MAX] if isinstance(value, str) else value if _is_number(value) else None,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _below(kind: type[UpscaleError]) -> Iterator[type[UpscaleError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)


_KINDS: Final[Mapping[str, type[UpscaleError]]] = {
    kind.code: kind for kind in (*_below(InputError), *_below(OutputInvalid))
}
