"""Versions: `/v1/...` is the address of every route, and the one without it stays good.

Beneath one prefix so that a second version could stand beside it. To the routes it is the root they hang from
(ASGI's `root_path`), so they and their links need not know it.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/v1"


class Versions:
    """ASGI middleware: takes the prefix for part of the root."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            root = scope.get("root_path", "")
            if scope["path"].startswith(f"{root}{PREFIX}/"):
                scope["root_path"] = root + PREFIX
        await self._app(scope, receive, send)
