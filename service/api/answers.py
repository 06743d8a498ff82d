"""Answers: a job as the answer to a request, which `Prefer: wait=30` (RFC 7240) keeps back until it is over.

A preference, so where no more may wait at a time the answer comes at once; Preference-Applied tells.
Not here: what is shown of a job (shown/views.py).
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request, Response

from service.api.dependencies import Services, services_of
from service.api.shown.showing import show_one
from service.api.shown.views import JobView, Viewer, viewer_of
from service.errors import StoreUnavailable
from service.jobs.index import Placed
from service.jobs.model import Job

POLL_S: Final = 0.25  # how late the end may be seen
WAIT_S_MAX: Final = 60  # proxies give up on silence not much later
POLL_AFTER_S: Final = 1  # what a client is told: progress is written at least once a second
_WAIT: Final = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)

PREFERENCE_APPLIED: Final[dict[str, Any]] = {
    "Preference-Applied": {
        "description": "How long the answer was kept back at most, where that was preferred.",
        "schema": {"type": "string"},
    }
}


_JOB: Final = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobView"}}}}
_HEADERS: Final = {"Location": {"description": "The job", "schema": {"type": "string"}}, **PREFERENCE_APPLIED}
# Of a route that makes a job, for OpenAPI.
ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The job is over: its end was waited for.", "headers": _HEADERS, **_JOB},
    202: {"headers": _HEADERS},
}


@dataclass(frozen=True, slots=True)
class Answers:
    """To one request."""

    _request: Request
    _response: Response
    _services: Services
    _viewer: Viewer

    async def accepted(self, job: Job, *, wait_s: int | None = None) -> JobView:
        """To a request that made this job, or had made it before.

        wait_s   how long it is kept back where nothing was preferred
        """
        placed = await self._until_over(Placed(job), wait_s)
        shown = await show_one(self._services, self._viewer, placed.job)
        self._response.headers["Location"] = shown.links.self
        was_waited_for = wait_s is not None or "Preference-Applied" in self._response.headers
        self._response.status_code = 200 if shown.is_terminal and was_waited_for else 202
        return shown

    async def found(self, placed: Placed) -> JobView:
        """To a look at this job."""
        placed = await self._until_over(placed)
        return self._viewer.show(placed.job, position=placed.position)

    async def _until_over(self, placed: Placed, wait_s: int | None = None) -> Placed:
        preferred_s = self._wanted_s()
        wanted_s = wait_s if preferred_s is None else preferred_s
        if wanted_s is not None and self._services.followers.is_one_free:
            if preferred_s is not None:
                self._response.headers["Preference-Applied"] = f"wait={wanted_s}"
            with self._services.followers.one():
                placed = await self._wait(placed, wanted_s)
        if not placed.job.state.is_terminal:
            self._response.headers["Retry-After"] = str(POLL_AFTER_S)
        return placed

    def _wanted_s(self) -> int | None:
        found = _WAIT.search(",".join(self._request.headers.getlist("prefer")))
        return None if found is None else min(int(found[1]), WAIT_S_MAX)

    async def _wait(self, placed: Placed, wanted_s: float) -> Placed:
        now = asyncio.get_running_loop().time
        until = now() + wanted_s
        while not placed.job.state.is_terminal and now() < until and not self._services.stopping.is_set():
            await asyncio.sleep(min(POLL_S, until - now()))
            if await self._request.is_disconnected():
                break
            try:
                seen = await self._services.looks.at(placed.job.id)
            except StoreUnavailable:  # it may be back in a moment
                continue
            if seen is None:  # deleted, or lost by the store, while we waited
                break
            placed = seen
        return placed


async def _answers(
    request: Request,
    response: Response,
    prefer: Annotated[  # for the document: several such headers are one
        str | None,
        Header(
            description=f"`wait=30` keeps the answer back until the job is over, for at most 30 seconds; "
            f"{WAIT_S_MAX} is the most.",
        ),
    ] = None,
) -> Answers:
    return Answers(request, response, services_of(request), viewer_of(request))


UsedAnswers = Annotated[Answers, Depends(_answers)]
