"""Rate limits: every answer to a key tells how many requests it has left in this minute."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOLD: Final = "rate_limit"  # in the scope: its headers as they are sent, once the key is known (callers.py)


class RateLimits:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start" and TOLD in scope:
                told, there = scope[TOLD], message["headers"]
                if told[0][0] not in [name for name, _ in there]:  # else a limit refused, which tells more
                    message["headers"] = [*there, *told]
            await send(message)

        await self._app(scope, receive, pass_on)
