"""Metering: counts and times every request under the pattern of its route, never the path asked for."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import metrics

NO_ROUTE = "none"  # of a 404, whose path could be anything


class Metering:
    """ASGI middleware: sees the start of the answer, never its bytes, so streams stay streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_at = time.perf_counter()
        has_begun = False

        def count(status: int) -> None:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            seconds = time.perf_counter() - began_at
            metrics.REQUESTS.labels(scope["method"], route, status).inc()
            metrics.REQUEST_SECONDS.labels(scope["method"], route).observe(seconds)

        async def pass_on(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, pass_on)
        except Exception:
            if not has_begun:  # what nobody foresaw is answered outside of us, by 500
                count(500)
            raise
