"""The same plan, segments and assembly in this process alone: no server, no queue, the same frames.

For the command line. The store is the one in memory, the storage a temporary folder, the queue a list.
"""

import hashlib
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.auto import models_behind
from service.jobs import keys, manifest
from service.jobs.ids import new_job_id
from service.jobs.manifest import Manifest
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Job, JobError, Options
from service.jobs.states import JobState
from service.jobs.steps import PLAN, Step
from service.objects.files import FileStorage
from service.settings import Settings
from worker.job import runner
from worker.job.context import WorkerContext, open_context
from worker.media.reading.container import kind_of
from worker.media.writing.atomic import written_whole
from worker.models.lending import lend

PROGRESS_S = 0.2  # between two looks at how far the job is


class LocalQueue:
    """Steps in the order they became runnable."""

    def __init__(self) -> None:
        self.steps: deque[tuple[str, Step]] = deque()
        self.changed = threading.Condition()

    def enqueue(self, job_id: str, step: Step) -> None:
        with self.changed:
            self.steps.append((job_id, step))
            self.changed.notify()

    def depth(self) -> int:
        return len(self.steps)


class UpscaleFailed(Exception):
    """The job failed; the message is what its owner may read."""


def upscale(
    source: Path, target: Path, options: Options, on_progress: Callable[[int, int | None], None]
) -> dict[str, Any]:
    """Upscale one file and return the conformance report.

    on_progress   told the frames done and, once known, in all
    Raises        UpscaleFailed with the reason
    """
    with tempfile.TemporaryDirectory(prefix="upscaled-") as name:
        folder, queue = Path(name), LocalQueue()
        settings = Settings(data_dir=folder)
        storage = FileStorage(settings.objects_dir)
        defaults = (settings.default_video_model, settings.default_image_model)
        for model in models_behind({options.model} if options.model else defaults):
            lend(model, storage)
        with open_context(
            "local",
            settings,
            folder,
            store=MemoryStore(attempts_max=settings.attempts_max, lease_s=settings.lease_s),
            storage=storage,
            queue=queue,
        ) as context:
            job = accept(context, source, options)
            with _reported(context, job.id, on_progress):
                _run_all(context, queue, job.id)
            job = context.store.get(job.id)
            if job.state is not JobState.SUCCEEDED:
                raise UpscaleFailed(_reason(job.error))
            assert job.result_key is not None
            assert job.report is not None
            with written_whole(target) as aside:
                context.storage.fetch(job.result_key, aside)
            return job.report


def accept(context: WorkerContext, source: Path, options: Options) -> Job:
    """What the API does with an upload."""
    kind = kind_of(source)
    with source.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    now = time.time()
    job = Job(
        id=new_job_id(),
        options=options,
        kind=kind,
        filename=source.name,
        size_bytes=source.stat().st_size,
        sha256=sha256,
        created_at=now,
        updated_at=now,
    )
    context.storage.put_file(keys.input_key(job.id), source)
    manifest.save(context.storage, Manifest(job=job))
    return context.store.create(job)


@contextmanager
def _reported(
    context: WorkerContext, job_id: str, on_progress: Callable[[int, int | None], None]
) -> Iterator[None]:
    """Tell the caller how far the job is, a few times a second and once at the end."""
    done = threading.Event()

    def report() -> None:
        while not done.wait(PROGRESS_S):
            job = context.store.get(job_id)
            on_progress(job.frames_done, job.frames_total)

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        job = context.store.get(job_id)
        on_progress(job.frames_done, job.frames_total)


def _run_all(context: WorkerContext, queue: LocalQueue, job_id: str) -> None:
    """Work off the queue in as many threads as a worker would use, so that shots share the batch."""
    running: set[Future[None]] = set()

    def end(step: Future[None]) -> None:
        with queue.changed:
            running.remove(step)
            queue.changed.notify()

    queue.enqueue(job_id, PLAN)
    pool = ThreadPoolExecutor(context.settings.worker_streams, thread_name_prefix="step")
    with pool, queue.changed:  # in this order: a step that still runs when we are interrupted may queue more
        while queue.steps or running:
            while queue.steps:
                step = pool.submit(runner.run, context, *queue.steps.popleft())
                running.add(step)
                step.add_done_callback(end)
            queue.changed.wait_for(lambda: queue.steps or not running)


def _reason(error: JobError | None) -> str:
    return "the work was broken off; the log says why" if error is None else error.message
