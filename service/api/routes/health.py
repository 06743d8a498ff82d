"""/healthz: the process lives. /readyz: it can take work. /metrics: what Prometheus reads."""

import asyncio
import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import BaseModel

from service.api.dependencies import UsedServices, in_thread
from service.errors import UpscaleError

router = APIRouter(tags=["service"])

PING_S_MAX = 3.0  # an orchestrator asks every few seconds; a slower answer is no answer
VERSION = version("upscaled")


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    version: str = VERSION


class Readiness(BaseModel):
    ready: bool
    store: str
    storage: str


@router.get("/healthz", summary="Is the process alive?")
async def check_health() -> Health:
    return Health()


@router.get("/readyz", summary="Can it take work?", responses={503: {"model": Readiness}})
async def check_readiness(response: Response, services: UsedServices) -> Readiness:
    """Asks the job store and the storage to take a write each; 503 while one of them does not."""
    store, storage = await asyncio.gather(_ask(services.store.ping), _ask(services.storage.ping))
    ready = store == storage == "ok"
    if not ready:
        response.status_code = 503
    return Readiness(ready=ready, store=store, storage=storage)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def read_metrics() -> Response:
    return Response(await in_thread(_exposition), media_type=CONTENT_TYPE_LATEST)


async def _ask(ping: Callable[[], None]) -> str:
    try:
        async with asyncio.timeout(PING_S_MAX):
            # Not in_thread: a ping that hangs is left behind, else the time-out would wait for it.
            await asyncio.to_thread(ping)
    except TimeoutError:
        return "does not answer"
    except UpscaleError as error:
        return str(error.code)
    return "ok"


def _exposition() -> bytes:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()  # one scrape answers for every API process on this machine
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
