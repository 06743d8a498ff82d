"""What every route may use, handed to it by FastAPI: nothing here is global, so tests bring their own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Annotated, ParamSpec, TypeVar

from anyio import to_thread
from fastapi import Depends, Request

from service.api.catalogue import Catalogue
from service.api.keyring import Keyring
from service.api.limits import Allowances
from service.api.places import Places
from service.api.shown.looking import Looks
from service.jobs.quotas import Quota
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.outgoing import Outgoing
from service.queue import Queue
from service.settings import Settings
from service.traces import OFF, Traces

# Of each process. An upload holds a file or a part of 8 MiB in memory; a follower asks the store four times a
# second, which is some hundredths of a core for all.
UPLOADS_MAX = 64
FOLLOWERS_MAX = 256
FETCHES_MAX = 8  # of those uploads: each holds its connection for as long as some other server likes

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    settings: Settings
    store: JobStore
    storage: Storage
    queue: Queue
    looks: Looks
    catalogue: Catalogue
    keyring: Keyring
    allowances: Allowances
    default_quota: Quota
    outgoing: Outgoing
    traces: Traces = OFF
    uploads: Places = field(default_factory=lambda: Places("uploads are being received", UPLOADS_MAX))
    fetches: Places = field(default_factory=lambda: Places("files are being fetched", FETCHES_MAX))
    followers: Places = field(default_factory=lambda: Places("jobs are being followed", FOLLOWERS_MAX))
    stopping: Event = field(default_factory=Event)  # set when the server is told to end


def services_of(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


def root_of(request: Request) -> str:
    """The path that all of ours begin with as this client knows them: of its version of the API, behind its
    proxy."""
    root = request.scope.get("root_path", "")
    assert isinstance(root, str)
    return root


# What FastAPI calls is `async`, so that it runs where it is called, as it gives plain functions to a thread.
# And it takes the request itself, not what others make of it: each link of such a chain is felt in a GET.


async def _services(request: Request) -> Services:
    return services_of(request)


UsedServices = Annotated[Services, Depends(_services)]


async def _root(request: Request) -> str:
    return root_of(request)


UsedRoot = Annotated[str, Depends(_root)]


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what blocks (the store, the storage, hashing) off the event loop."""
    return await to_thread.run_sync(partial(function, *args, **kwargs))
