"""Callers: who asks, by the key they show, which jobs are theirs, and what they may use.

With `UPSCALED_AUTH=off` everybody is let in and sees every job. A key comes in the Authorization header. For
what a browser asks for by itself (event streams, pictures, downloads), where a page can set no header, the
cookie of our page is as good: for reading alone, so that no other page can act by it, whatever browsers send.
Not here: how keys are made and kept (service/access), how much one may use (limits.py).
"""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from service.access.keys import Key
from service.api.dependencies import services_of
from service.api.limits import quota_of, requests_of
from service.api.middleware.rate_limits import TOLD
from service.errors import InputError
from service.jobs.model import Job
from service.jobs.quotas import UNLIMITED, Quota
from service.jobs.store import unknown_job

COOKIE: Final = "upscaled_key"  # set by static/key.js
_CALLER: Final = "caller"  # in the scope of a request that was let in


class NoKey(InputError):
    """The service wants a key in the Authorization header, and none came, or one that it does not know."""

    code = "no_key"
    http_status = 401


@dataclass(frozen=True, slots=True)
class Caller:
    key: Key | None  # None: the service asks for no keys
    default_quota: Quota = UNLIMITED

    @property
    def quota(self) -> Quota:
        return UNLIMITED if self.key is None else quota_of(self.key, self.default_quota)

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


class _Shown(SecurityBase):
    """What a caller shows as its key, and what the document says of that; empty text for nothing."""

    scheme_name = "key"
    model = HTTPBearer(description="Made by `upscaled keys create`.")

    async def __call__(self, request: Request) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return key.strip()
        return request.cookies.get(COOKIE, "") if request.method in ("GET", "HEAD") else ""


async def let_in(request: Request, shown: Annotated[str, Security(_Shown())]) -> None:
    """Before every route that is not open to all: app.py sees to that. Raises NoKey, TooManyRequests."""
    services = services_of(request)
    if services.settings.auth == "off":
        request.scope[_CALLER] = Caller(None)
        return
    key = await services.keyring.recognise(shown)
    if key is None:
        raise NoKey(
            "send a key of this service as `Authorization: Bearer KEY`",
            field="Authorization",
            headers={"WWW-Authenticate": "Bearer"},
        )
    limit = requests_of(key, services.default_quota)
    if limit is not None:
        request.scope[TOLD] = await services.allowances.let_in(key.id, limit)
    request.scope[_CALLER] = Caller(key, services.default_quota)


async def _caller_of(request: Request) -> Caller:
    """Who was let in; a route that lets in nobody knows none."""
    caller = request.scope[_CALLER]
    assert isinstance(caller, Caller)
    return caller


UsedCaller = Annotated[Caller, Depends(_caller_of)]
