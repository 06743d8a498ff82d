"""Worker: one process, one device, many streams; ends cleanly on SIGTERM.

Celery only carries messages. On SIGTERM the steps give their leases back at the next frame.
"""

import ctypes
import logging
import secrets
import socket
import threading
from contextlib import closing

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down

from service.auto import models_behind
from service.jobs.open import open_store
from service.log import setup
from service.objects.open import open_storage
from service.queue import CeleryQueue, celery_app
from service.settings import Settings
from service.traces import open_traces
from worker.job.context import open_context
from worker.process import health, observe, pool, tasks
from worker.process.scratch import own_folder

_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # <malloc.h>
_MMAP_BYTES_MIN = 512 * 1024  # smaller than most frames, larger than what is made and freed all the time


def run() -> int:
    _keep_memory_level()
    settings = Settings()
    setup(settings)
    app = celery_app(settings)
    name = f"{socket.gethostname()}-{secrets.token_hex(3)}"
    with (
        closing(open_traces(settings, "worker")) as traces,
        own_folder(settings.cache_dir) as folder,
        open_context(
            name,
            settings,
            folder,
            store=open_store(settings),
            storage=open_storage(settings),
            queue=CeleryQueue(app),
            traces=traces,
        ) as context,
    ):
        # Held for the process's life: Celery keeps only weak references to receivers.
        def drain(**_: object) -> None:
            context.draining.set()

        worker_shutting_down.connect(drain)
        for model in models_behind({settings.default_video_model, settings.default_image_model}):
            context.models.resolve(model)  # loaded, gated and timed before the first job, not during it
        condition = health.Health(context)
        tasks.register(app, context, condition)
        threading.Thread(target=condition.watch, name="health", daemon=True).start()
        threading.Thread(target=observe.watch, args=(context, condition), name="observe", daemon=True).start()
        with health.serve((settings.metrics_host, settings.metrics_port), condition):
            return _consume(app, name)


def _consume(app: Celery, name: str) -> int:
    """Run Celery's worker until it is told to stop; concurrency is the app's own setting."""
    setup_logging.connect(_leave_logging_alone)
    logging.getLogger("celery").setLevel(logging.WARNING)
    try:
        app.conf.worker_pool = pool.NAME
        # Workers tell each other nothing: the store says who is alive.
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        app.worker_main(["--quiet", "worker", f"--hostname={name}@%h", *alone])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


def _keep_memory_level() -> None:
    """Give frames back to the system when they are freed.

    Left alone, glibc keeps a heap for each thread and puts frames into it, and the holes they leave let a
    long video take a fifth more memory than a short one before it levels off.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES_MIN)


def _leave_logging_alone(**_: object) -> None:
    """Celery sets the log up unless someone says that it is done."""
