"""Callers: who asks, by the key they show, which jobs are theirs, and what they may use.

With `UPSCALED_AUTH=off` everybody is let in and sees every job. A key comes in the Authorization header. For
what a browser asks for by itself (event streams, pictures, downloads), where a page can set no header, the
cookie of our page is as good: for reading alone, so that no other page can act by it, whatever browsers send.
Not here: how keys are made and kept (service/access), how much one may use (limits.py).
"""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.access.keys import Key
from service.api.dependencies import Services, UsedServices, in_thread
from service.api.limits import quota_of
from service.api.middleware.rate_limits import TOLD
from service.errors import InputError
from service.jobs.model import Job
from service.jobs.quotas import UNLIMITED, Quota
from service.jobs.store import unknown_job

COOKIE: Final = "upscaled_key"  # set by static/key.js


class NoKey(InputError):
    """The service wants a key in the Authorization header, and none came, or one that it does not know."""

    code = "no_key"
    http_status = 401


@dataclass(frozen=True, slots=True)
class Caller:
    key: Key | None  # None: the service asks for no keys
    quota: Quota = UNLIMITED

    @property
    def owner(self) -> str | None:
        """Whom the jobs belong to that this caller makes."""
        return None if self.key is None else self.key.id

    @property
    def sees_all(self) -> bool:
        return self.key is None or self.key.role == "admin"

    def may_use(self, job: Job) -> bool:
        return self.may_reach(job.owner)

    def may_reach(self, owner: str | None) -> bool:
        """What belongs to that owner."""
        return self.sees_all or owner == self.owner

    def require(self, job: Job) -> Job:
        """The job itself; another's is as unknown as one that never was, so that nobody can probe for ids."""
        if not self.may_use(job):
            raise unknown_job(job.id)
        return job

    def idempotency_key(self, given: str | None) -> str | None:
        """As the store knows it: two owners may have chosen the same."""
        return given if given is None or self.key is None else f"{self.key.id}/{given}"


_bearer = HTTPBearer(scheme_name="key", description="Made by `upscaled keys create`.", auto_error=False)


async def caller_of(
    request: Request,
    services: UsedServices,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Caller:
    if services.settings.auth == "off":
        return Caller(None)
    key = await _recognised(services, _shown(request, bearer))
    if key is None:
        raise NoKey(
            "send a key of this service as `Authorization: Bearer KEY`",
            field="Authorization",
            headers={"WWW-Authenticate": "Bearer"},
        )
    caller = Caller(key, quota_of(key, services.default_quota))
    await _let_in(request, services, caller)
    return caller


def _shown(request: Request, bearer: HTTPAuthorizationCredentials | None) -> str:
    if bearer is not None:
        return bearer.credentials
    return request.cookies.get(COOKIE, "") if request.method in ("GET", "HEAD") else ""


async def _recognised(services: Services, shown: str) -> Key | None:
    if services.keyring.remembers(shown):
        return services.keyring.recognise(shown)
    return await in_thread(services.keyring.recognise, shown)


async def _let_in(request: Request, services: Services, caller: Caller) -> None:
    """Raises TooManyRequests."""
    limit = caller.quota.requests_per_minute
    if limit is None or caller.owner is None:
        return
    while (told := services.allowances.take(caller.owner, limit)) is None:
        await in_thread(services.allowances.draw, caller.owner, limit)
    request.scope[TOLD] = told


UsedCaller = Annotated[Caller, Depends(caller_of)]
