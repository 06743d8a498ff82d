"""What an exchange (exchanges.py) asks of whoever runs it: client.py with threads that wait, aio.py without.

An exchange is a generator that decides what is said to the server and when. It yields one of these and is
sent what came of it, or has the error thrown into it. So each decision is written once for both clients.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx

from upscaled_client.records import Job


@dataclass(frozen=True, slots=True)
class Send:
    """Gives the httpx.Response, read to its end."""

    request: httpx.Request


@dataclass(frozen=True, slots=True)
class Open:
    """Gives the httpx.Response before its body, which `Next` gives; of an error all is read."""

    request: httpx.Request


@dataclass(frozen=True, slots=True)
class Next:
    """Gives the next bytes of what was opened last, or None after its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Aside:
    """Work that blocks, such as waiting for a disk."""

    work: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Give:
    """One of the things that the caller iterates over."""

    job: Job


Effect = Send | Open | Next | Pause | Aside | Give
T = TypeVar("T")
Exchange: TypeAlias = Generator[Effect, Any, T]
