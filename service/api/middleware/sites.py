"""Sites: a page from elsewhere must not use the browser of someone who reaches this service to talk to it.

It could post to us, and by DNS rebinding (its own name, pointed at our address) also read. So who calls us
by a name must use one that nobody else can own: without a dot, or one of `UPSCALED_HOST_NAMES`; and what a
browser sends for a page must be for a page of ours. Addresses in numbers can't be rebound.
"""

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems.answering import problem_of
from service.api.problems.errors import ForeignHost, ForeignOrigin

_READING = frozenset({"GET", "HEAD", "OPTIONS"})  # of these a page from elsewhere never sees the answer


class Sites:
    """ASGI middleware: answers 403 in place of the route."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._error(scope["method"], Headers(scope=scope))):
            await problem_of(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _error(self, method: str, headers: Headers) -> ForeignHost | ForeignOrigin | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            message = f"no site of ours is called {host}; its operator may name it in UPSCALED_HOST_NAMES"
            return ForeignHost(message, field="Host", value=host)
        if method in _READING or origin is None:
            return None
        authority = urlsplit(origin).netloc
        if authority.lower() != host.lower() and _name_of(authority) not in self._names:
            return ForeignOrigin(f"pages of {origin} may not do this here", field="Origin", value=origin)
        return None

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        return "." not in name or _is_number(name) or name.endswith(".localhost") or name in self._names


def _name_of(authority: str) -> str:
    """Without the port, and an IPv6 address without its brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0].lower()


def _is_number(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
