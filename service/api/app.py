"""The API as one ASGI application: routers, problems, and the sweeper that runs beside them.

`create_app` takes everything it uses; `create_app_from_env` is what each process of the API calls. Not here:
how they are started (__main__.py).
"""

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.datastructures import Headers

from service import log
from service.api.callers import let_in
from service.api.catalogue import Catalogue
from service.api.dependencies import Services, in_thread
from service.api.keyring import Keyring
from service.api.limits import Allowances, default_quota
from service.api.middleware.metering import Metering
from service.api.middleware.overrides import Overrides
from service.api.middleware.rate_limits import RateLimits
from service.api.middleware.request_ids import RequestIds
from service.api.middleware.sites import Sites
from service.api.middleware.stopping import Stopping
from service.api.middleware.versions import PREFIX, Versions
from service.api.openapi import describe, operation_id
from service.api.problems import answering
from service.api.problems.answering import problem_responses
from service.api.routes import (
    events,
    health,
    jobs,
    models,
    pieces,
    previews,
    reruns,
    results,
    uploads,
    webhooks,
)
from service.api.shown.looking import Looks
from service.api.shown.views import Viewer
from service.auto import models_behind
from service.housekeeping.sweeper import Sweeper
from service.jobs.open import open_store
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.objects.open import open_storage
from service.outgoing import Outgoing
from service.queue import Queue, open_queue
from service.settings import Settings
from service.traces import OFF, Traces, open_traces
from service.webhooks.delivering import Deliverer

_PAGE = Path(__file__).with_name("static")
_LOOKS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SWEEPER_STOP_S_MAX = 5.0  # one that waits for the storage must not hold up the shutdown

_DESCRIPTION = """\
Post a picture or a video to `/upscale` and get it back four times larger, with its sound, frame for frame.
Every error is `application/problem+json` with a stable `type`.
"""


def create_app(
    settings: Settings, store: JobStore, storage: Storage, queue: Queue, traces: Traces = OFF
) -> FastAPI:
    expected = models_behind({settings.default_video_model, settings.default_image_model})
    services = Services(
        settings=settings,
        store=store,
        storage=storage,
        queue=queue,
        looks=Looks(store),
        catalogue=Catalogue(storage, expected),
        keyring=Keyring(storage),
        allowances=Allowances(store),
        default_quota=default_quota(settings),
        outgoing=Outgoing(settings.outgoing_allowed),
        traces=traces,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sweeper = Sweeper(store, storage, queue, settings)
        loops = {"sweeper": sweeper.run}
        if settings.webhook_keys:
            loops["webhooks"] = _deliverer(services).run
        threads = [
            threading.Thread(target=run, args=(services.stopping,), name=name, daemon=True)
            for name, run in loops.items()
        ]
        for thread in threads:
            thread.start()
        with _set_by_signal(services.stopping):
            yield
        services.stopping.set()
        joins = (in_thread(thread.join, _SWEEPER_STOP_S_MAX) for thread in threads)
        await asyncio.gather(*joins, in_thread(traces.close))

    # FastAPI's own /docs loads its script from a CDN and stays blank where there is no internet.
    app = FastAPIOffline(
        redoc_url=None,
        static_url="/docs/assets",
        title="upscaled",
        version=health.VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        servers=[{"url": PREFIX}],
        root_path_in_servers=False,
        telemetry=_telemetry(traces),
    )
    app.state.services = services
    app.add_middleware(Stopping)
    app.add_middleware(Sites, names=settings.host_name_list)
    for middleware in (RateLimits, Overrides, Versions, Metering, RequestIds):  # the last is passed first
        app.add_middleware(middleware)
    answering.install(app)
    has_keys = settings.auth == "keys"
    for module in (uploads, pieces, jobs, reruns, events, previews, results, webhooks, models):
        responses = problem_responses(401, 429) if has_keys else None
        app.include_router(module.router, dependencies=[Depends(let_in)], responses=responses)
    app.include_router(health.router)
    _add_page(app, settings)
    describe(app, has_keys=has_keys)
    return app


def _deliverer(services: Services) -> Deliverer:
    viewer = Viewer(PREFIX, services.settings.result_ttl_s)
    return Deliverer(
        services.store,
        services.storage,
        services.outgoing,
        secrets=services.settings.webhook_keys,
        show=lambda job: viewer.show(job).model_dump(mode="json"),
    )


def _telemetry(traces: Traces) -> TelemetryConfig:
    """What FastAPI traces by itself: requests as a whole. Its metrics would say what ours do."""
    return {
        "tracing": traces.provider is not None,
        "tracer_provider": traces.provider,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "auto_configure": False,
        "exclude": _is_look,
    }


def _is_look(scope: MutableMapping[str, Any]) -> bool:
    """Requests that change nothing are many, and make no job: traced where their caller traces them."""
    return scope.get("method") in _LOOKS and "traceparent" not in Headers(scope=scope)


def _add_page(app: FastAPI, settings: Settings) -> None:
    """The page for people at `/`. It may load its own files, and results from where they are sent from."""
    media = " ".join(["'self'", "blob:", *([settings.s3_public_url] if settings.s3_public_url else [])])
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        f"form-action 'self'; frame-ancestors 'none'; img-src {media}; media-src {media}"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    app.add_api_route(
        "/", lambda: FileResponse(_PAGE / "index.html", headers=headers), include_in_schema=False
    )
    app.mount("/page", StaticFiles(directory=_PAGE))


@contextmanager
def _set_by_signal(stopping: threading.Event) -> Iterator[None]:
    """Set `stopping` with the signal that ends the server, before the server acts on it.

    Its own shutdown comes too late: uvicorn first waits for open streams of events, and they for their jobs.
    """
    is_main = threading.current_thread() is threading.main_thread()  # no other may handle signals
    found = (
        {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    )
    handlers = {number: handler for number, handler in found.items() if callable(handler)}

    def on_signal(number: int, frame: FrameType | None) -> None:
        stopping.set()
        handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def create_app_from_env() -> FastAPI:
    """Of this process: everything is built from the environment."""
    settings = Settings()
    log.setup(settings)
    traces = open_traces(settings, "api")
    app = create_app(settings, open_store(settings), open_storage(settings), open_queue(settings), traces)
    gc.collect()
    gc.freeze()  # what lives as long as the process is not looked through again while requests wait
    return app
