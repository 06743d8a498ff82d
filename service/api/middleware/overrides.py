"""Overrides: tus lets clients behind a proxy that knows no PATCH or DELETE say by a header what they mean."""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

HEADER: Final = "X-HTTP-Method-Override"
_MEANT: Final = frozenset({"PATCH", "DELETE", "HEAD"})


class Overrides:
    """ASGI middleware: takes the method of a POST to an upload from its header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            below = scope["path"].removeprefix(scope.get("root_path", ""))
            meant = Headers(scope=scope).get(HEADER, "").upper()
            if below.startswith("/uploads/") and meant in _MEANT:
                scope["method"] = meant
        await self._app(scope, receive, send)
