"""Stopping: who is still being served when the server's time to stop is over is told to come back.

uvicorn then cancels what is under way and would answer 500, which no client sends again. An upload may have
become a job by then; sent again with its Idempotency-Key it is given that one.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems.answering import problem_of
from service.api.problems.errors import ServerStopping


class Stopping:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def pass_on(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, pass_on)
        except asyncio.CancelledError:
            if scope["type"] != "http" or has_begun:
                raise
            answer = problem_of(ServerStopping("the server is stopping; send the request again"))
            await answer(scope, receive, send)
