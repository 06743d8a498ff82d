"""What a worker says of itself every few seconds, on a thread of its own: its gauges, and its runtimes.

Not in health.py's: a store or a storage that hangs may hold this up, but never the watch for a stuck worker.
What is an event, such as a frame or a failure, is counted where it happens (service/metrics.py).
"""

import logging
import shutil
from typing import Final

import torch

from service import metrics
from service.errors import TransientError
from worker.job.context import WorkerContext
from worker.process.health import Health

log = logging.getLogger(__name__)

OBSERVE_S: Final = 5.0


def watch(context: WorkerContext, health: Health) -> None:
    """Until the worker drains, and once more then, so that it is seen to take no jobs."""
    while True:
        try:
            observe(context, health)
        except OSError:
            log.exception("observation_failed")
        except TransientError as error:
            log.warning("observation_failed", extra={"reason": str(error)})
        if context.draining.wait(OBSERVE_S):
            metrics.READY.set(0)
            return


def observe(context: WorkerContext, health: Health) -> None:
    context.store.announce(context.runtimes, context.name)  # first, as what follows may wait for a storage
    engines = context.models.engines()
    metrics.STREAMS.set(sum(engine.stream_count for engine in engines))
    metrics.STREAMS_WAITING.set(sum(engine.waiting_count for engine in engines))
    metrics.DEVICE_MEMORY_BYTES.set(torch.cuda.memory_reserved() if torch.cuda.is_available() else 0)
    disk = shutil.disk_usage(context.settings.data_dir)
    metrics.DISK_FREE_RATIO.set(disk.free / disk.total)
    metrics.MODEL_INFO.clear()
    for name, version, precision in context.models.loaded():
        metrics.MODEL_INFO.labels(name, version, precision).set(1)
    metrics.READY.set(health.unready() is None)
