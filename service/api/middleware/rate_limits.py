"""Rate limits: every answer to a key tells how many requests it has left in this minute."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOLD: Final = "rate_limit"  # in the scope: the headers, once the key is known (callers.py)


class RateLimits:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start" and TOLD in scope:
                told = [(name.lower().encode(), value.encode()) for name, value in scope[TOLD].items()]
                there = {name for name, _ in message["headers"]}
                if there.isdisjoint(name for name, _ in told):  # else a limit refused, which tells more
                    message["headers"] = [*message["headers"], *told]
            await send(message)

        await self._app(scope, receive, pass_on)
