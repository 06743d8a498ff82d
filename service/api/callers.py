"""Callers: who asks, by the key they show, and which jobs are theirs.

With `UPSCALED_AUTH=off` everybody is let in and sees every job. Not here: how keys are made and kept
(service/access).
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.access.keys import Key
from service.api.dependencies import UsedServices, in_thread
from service.errors import InputError
from service.jobs.model import Job
from service.jobs.store import unknown_job


class NoKey(InputError):
    """The service wants a key in the Authorization header, and none came, or one that it does not know."""

    code = "no_key"
    http_status = 401


@dataclass(frozen=True, slots=True)
class Caller:
    key: Key | None  # None: the service asks for no keys

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
    services: UsedServices, shown: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Caller:
    if services.settings.auth == "off":
        return Caller(None)
    key = None if shown is None else await in_thread(services.keyring.recognise, shown.credentials)
    if key is None:
        raise NoKey(
            "send a key of this service as `Authorization: Bearer KEY`",
            field="Authorization",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return Caller(key)


UsedCaller = Annotated[Caller, Depends(caller_of)]
