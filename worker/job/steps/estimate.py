"""Estimate: what a job would come to, without doing it. One step under one lease, as for a picture.

Frames are counted by packets, and only the first few are decoded: a plan may find more or fewer, that the
video is interlaced, and, for `model=auto`, that the rest is of another kind. Seconds are told by what other
jobs took. Start reading at `estimate`.
"""

import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service import metrics
from service.auto import Traits, decide
from service.errors import UnknownJob
from service.formats import CONTAINERS
from service.jobs.ending import end
from service.jobs.model import Job
from service.jobs.pace import Pace, expected_bytes, fitted, pace_name, wait_s
from service.jobs.states import JobEvent
from service.jobs.store import JobStore
from worker.job.context import WorkerContext
from worker.job.held import Held
from worker.job.steps.plan import coded_as, container_of_animation, encoding_notices, encoding_to, limits_of
from worker.media.animation.writing import check_output
from worker.media.pictures import writing as pictures
from worker.media.reading.container import sniff
from worker.media.reading.survey import SAMPLE_S
from worker.media.reading.tracks import choose_container
from worker.media.sandbox.pictures import read_image
from worker.media.sandbox.reading import look_through, probe, survey
from worker.media.sizes import target_size
from worker.media.traits import traits_of

log = logging.getLogger(__name__)

OTHERS_MAX: Final = 300  # jobs that are looked at for how long they will hold this one up


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a file is and would become."""

    frame_count: int
    megapixels: float  # of all frames, as they come in
    width: int  # of the result
    height: int
    container: str
    codec: str | None
    coded_as: str
    notices: tuple[str, ...]
    traits: Traits | None


def estimate(context: WorkerContext, held: Held, job: Job) -> None:
    """Look into the file of this job, and end it with the estimate in its report."""
    job = held.move(JobEvent.PLANNING_STARTED)
    job.options.check_fit(job.kind)
    looks = {"video": _look_at_video, "animation": _look_at_animation, "image": _look_at_picture}
    with context.inputs.open(job.id, on_chunk=held.proceed) as path:
        look = looks[job.kind](context, held, path, job)
    defaults = context.settings.default_image_model, context.settings.default_video_model
    named = job.options.model or defaults[job.kind != "image"]
    chosen = decide(named, look.traits, job.options.strength)
    with context.models.acquire(chosen.model) as model:
        version, precision = model.version, model.precision
    held.span.note(frames=look.frame_count, model=chosen.model, version=version)
    report = {
        "model": chosen.model,
        "version": version,
        **({} if chosen.reason is None else {"model_reason": chosen.reason}),
        "strength": chosen.strength,
        "precision": precision,
        "estimate": _expected(context.store, job, look, chosen.model),
        "notices": list(look.notices),
    }
    held.confirm()
    ended = end(context.store, context.storage, job, JobEvent.ESTIMATED, report=report)
    metrics.JOBS_ENDED.labels("estimated").inc()
    log.info("job_estimated", extra={"state": ended.state})
    context.inputs.forget(job.id)


def _expected(store: JobStore, job: Job, look: Look, model: str) -> dict[str, Any]:
    measured = store.paces(pace_name(job.kind, model))
    pace = fitted(measured)
    seconds = None if pace is None else pace.seconds(look.megapixels)
    megapixels_out = look.width * look.height * look.frame_count / 1e6
    return {
        "frames": look.frame_count,
        "width": look.width,
        "height": look.height,
        "format": look.container,
        "codec": look.codec,
        "result_bytes": expected_bytes(measured, look.coded_as, megapixels_out),
        "megapixels": round(look.megapixels, 3),
        "seconds": None if seconds is None else round(seconds, 2),
        "wait_s": None if seconds is None else round(_wait_s(store, job, seconds), 2),
        "measured_jobs": len(measured),
    }


def _wait_s(store: JobStore, job: Job, seconds: float) -> float:
    """By the jobs that are there, each with what is left of it."""
    own: list[float] = []
    others: defaultdict[str | None, float] = defaultdict(float)
    paces: dict[str, Pace | None] = {}
    for job_id in store.active()[:OTHERS_MAX]:
        try:
            other = store.get(job_id)
        except UnknownJob:
            continue
        if other.id == job.id or other.is_estimate:
            continue
        left_s = _left_s(store, other, paces, seconds)
        if other.owner == job.owner:
            own.append(left_s)
        else:
            others[other.owner] += left_s
    return wait_s(seconds, own, others.values(), store.worker_count())


def _left_s(store: JobStore, job: Job, paces: dict[str, Pace | None], typical_s: float) -> float:
    """Of one that nobody looked into yet it is not known: it may be as long as ours."""
    if job.model is None or job.megapixels is None:
        return typical_s
    name = pace_name(job.kind, job.model)
    if name not in paces:
        paces[name] = fitted(store.paces(name))
    pace = paces[name]
    done = job.frames_done / job.frames_total if job.frames_total else 0.0
    return typical_s if pace is None else pace.seconds(job.megapixels) * (1 - done)


def _look_at_video(context: WorkerContext, held: Held, path: Path, job: Job) -> Look:
    options, limits = job.options, limits_of(context.settings)
    source = probe(path, limits=limits, on_wait=held.proceed)
    encoding = encoding_to(source, options)
    wanted = options.format if options.format in CONTAINERS else None
    container, reasons = choose_container(source, wanted, codec=encoding.codec)
    found = survey(path, source, start_s=options.start, duration_s=options.duration, on_wait=held.proceed)
    frame_count = found.frame_count
    if options.sample and source.rate:
        frame_count = min(frame_count, round(SAMPLE_S * source.rate))
    return Look(
        frame_count=frame_count,
        megapixels=source.width * source.height * frame_count / 1e6,
        width=encoding.width,
        height=encoding.height,
        container=container,
        codec=encoding.codec,
        coded_as=coded_as(encoding),
        notices=(*source.notices, *reasons, *encoding_notices(source, options, encoding)),
        traits=found.traits,
    )


def _look_at_animation(context: WorkerContext, held: Held, path: Path, job: Job) -> Look:
    kind, options = sniff(path), job.options
    container = container_of_animation(kind, options)
    source, timeline = look_through(
        path,
        kind,
        limits=limits_of(context.settings),
        is_laid_on_white=container in CONTAINERS,
        on_frame=lambda _count: held.proceed(),
        on_wait=held.proceed,
    )
    encoding = encoding_to(source, options)
    notices = check_output(container, source, timeline, encoding.width, encoding.height)
    return Look(
        frame_count=timeline.frame_count,
        megapixels=source.width * source.height * timeline.frame_count / 1e6,
        width=encoding.width,
        height=encoding.height,
        container=container,
        codec=encoding.codec if container in CONTAINERS else None,
        coded_as=coded_as(encoding) if container in CONTAINERS else container,
        notices=(*source.notices, *timeline.notices, *notices),
        traits=timeline.traits,
    )


def _look_at_picture(context: WorkerContext, held: Held, path: Path, job: Job) -> Look:
    pixels_max = context.settings.pixels_max
    low = read_image(path, pixels_max=pixels_max, owner=job.owner, on_wait=held.proceed)
    height, width = low.rgb.shape[:2]
    wide, high = target_size((width, height), job.options.size_wanted)
    container = job.options.format or low.format
    pictures.check_output(container, wide, high)
    return Look(
        frame_count=1,
        megapixels=width * height / 1e6,
        width=wide,
        height=high,
        container=container,
        codec=None,
        coded_as=f"{container} {job.options.quality}",
        notices=low.notices,
        traits=traits_of(low.rgb),
    )
