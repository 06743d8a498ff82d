"""What every step of a worker works with, built once when the process starts."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service import metrics
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.queue import Queue
from service.settings import Settings
from service.traces import OFF, Traces
from worker.engine.room import Room
from worker.job.held import Held
from worker.job.inputs import InputCache
from worker.job.meter import Meter
from worker.job.preview import Previews
from worker.job.streams import Streams
from worker.media.sandbox.keeper import KEEPER
from worker.models.registry import Registry

ROOM_WAIT_S: Final = 10.0  # for others to end; then the step is for a worker that has more


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    name: str  # tells workers apart in leases and logs
    settings: Settings
    store: JobStore
    storage: Storage
    queue: Queue
    models: Registry
    inputs: InputCache
    previews: Previews
    room: Room
    scratch: Path  # parts and results being written; this process's own
    runtimes: frozenset[str]  # in which this worker can go on with what others began; as in Plan.runtime
    streams: Streams
    traces: Traces = OFF
    meter: Meter = field(default_factory=Meter)
    draining: threading.Event = field(default_factory=threading.Event)  # set when the process is to end
    device_gone: threading.Event = field(default_factory=threading.Event)  # set with it, to end at once


@contextmanager
def open_context(
    name: str,
    settings: Settings,
    folder: Path,
    *,
    store: JobStore,
    storage: Storage,
    queue: Queue,
    traces: Traces = OFF,
) -> Iterator[WorkerContext]:
    """Bring up the models and the folders below `folder`, which is this process's own; ends the engines."""
    for part in ("inputs", "scratch"):
        (folder / part).mkdir()
    KEEPER.start()  # loads what readers need while the models are loaded
    registry = Registry(
        storage,
        settings,
        on_batch=metrics.BATCH_SIZE.observe,
        on_stage=lambda stage, seconds: metrics.STAGE_SECONDS.labels(stage).observe(seconds),
        on_load_failed=lambda model: metrics.MODEL_LOAD_FAILURES.labels(model).inc(),
    )
    with registry:
        yield WorkerContext(
            name=name,
            settings=settings,
            store=store,
            storage=storage,
            queue=queue,
            models=registry,
            inputs=InputCache(storage, folder / "inputs"),
            previews=Previews(storage),
            room=Room(settings.memory_bytes_max),
            scratch=folder / "scratch",
            runtimes=frozenset(str(runtime) for runtime in registry.runtimes()),
            streams=Streams(settings.worker_streams),
            traces=traces,
        )


def room_for(
    context: WorkerContext, held: Held, pixels: int, *, is_deep: bool
) -> AbstractContextManager[None]:
    """The memory of a stream of frames with so many pixels, around all that it does; raises NoRoom."""
    return context.room.taken(pixels * 2 if is_deep else pixels, wait_s=ROOM_WAIT_S, on_wait=held.proceed)


def add_notices(context: WorkerContext, job_id: str, notices: Sequence[str]) -> None:
    """What came up and the job's owner should know, kept in its report until assembly: each once, however
    often a step is begun."""
    if notices:
        context.store.add_notices(job_id, notices)


def read_notices(context: WorkerContext, job_id: str) -> list[str]:
    report = context.store.get(job_id).report
    return [] if report is None else list(report["notices"])
