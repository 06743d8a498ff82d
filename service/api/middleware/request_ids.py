"""Request ids: each request has one, in its answer and in every line that is logged on its behalf.

A caller's own is taken over, so that its log and ours can be read together; one that is no plain word is
replaced, as it would be written into headers and logs.
"""

import re
import secrets
from itertools import count

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import log

HEADER = "X-Request-Id"
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PROCESS = secrets.token_hex(12)  # drawn once: every draw asks the kernel, and lets other threads go first
_NUMBERS = count()


class RequestIds:
    """ASGI middleware: leaves the id in the scope as `request_id`, for answers that are made outside it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = scope["request_id"] = (
            given if _PLAIN.fullmatch(given) else f"{_PROCESS}{next(_NUMBERS):08x}"
        )

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with log.bind(request=request_id):
            await self._app(scope, receive, pass_on)
