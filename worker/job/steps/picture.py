"""A picture's job, from its upload to its result, in one step under one lease.

What a video's steps leave for others to go on from would cost a small picture more than its network does. So
nothing lies in storage before the result, and a worker that takes over from a dead one starts anew: with the
version that its predecessor pinned, and without taking the job's state back. Not here: the files themselves
(media/pictures/). Start reading at `upscale`.
"""

from pathlib import Path
from typing import Final

from service import metrics
from service.auto import Choice, as_named, decide
from service.formats import suffix_of
from service.jobs import keys, manifest
from service.jobs.ending import end
from service.jobs.manifest import Manifest, Plan, Segment
from service.jobs.model import Job
from service.jobs.states import TRANSITIONS, JobEvent, JobState
from worker.engine.engine import Engine
from worker.engine.reducing import enlarged_alpha, reduced
from worker.engine.stream import StreamClosed
from worker.frames import HighFrame, LowFrame, is_deep
from worker.job.context import WorkerContext, room_for
from worker.job.held import Held, LeaseLost, patiently, within
from worker.job.measuring import measure
from worker.job.report import describe
from worker.media.pictures.picture import Picture
from worker.media.pictures.writing import bits_of, check_output, save_image
from worker.media.sandbox.pictures import read_image
from worker.media.sizes import target_size
from worker.media.traits import traits_of
from worker.models.registry import Served

ENCODED_BYTES_S: Final = 500_000  # no picture format is written more slowly, even on half a core
ONE_FRAME: Final = (Segment(index=0, frame_start=0, frame_stop=1),)


def upscale(context: WorkerContext, held: Held, job: Job) -> None:
    """Do all there is to do for the picture of this job, of which a step is held.

    Any step: a store that the former version filled may still hold a picture's segment or assembly.
    """
    job = _enter(held, job, JobEvent.PLANNING_STARTED)
    job.options.check_fit(job.kind)
    found = manifest.load(context.storage, job.id)
    with held.timed("plan"):
        low = _read(context, held, job)
    with room_for(context, held, low.rgb.size // 3, is_deep=is_deep(low.rgb)):
        _upscale(context, held, found, job, low)
    context.inputs.forget(job.id)


def _upscale(context: WorkerContext, held: Held, found: Manifest, job: Job, low: Picture) -> None:
    chosen, version = _pinned(context, job, found, low)
    with context.models.acquire(chosen.model, version) as model:
        plan = _plan(low, job, model, chosen)
        held.span.note(model=model.name, version=model.version)
        megapixels = low.rgb.size / 3 / 1e6
        context.store.charge(job.id, megapixels)
        job = _enter(
            held,
            job,
            JobEvent.PLANNED,
            frames_total=1,
            megapixels=megapixels,
            model=model.name,
            version=model.version,
        )
        with held.timed("wait"):
            high = _enlarged(held, model.engine, low, job, chosen.share)
    metrics.FRAMES.inc()
    context.meter.add(megapixels)
    held.advance_now()
    path = context.scratch / f"{job.id}-{held.lease.fence}{suffix_of(plan.container)}"
    try:
        with held.timed("encode"), held.trusting(within(high.rgb.size / ENCODED_BYTES_S)):
            notices = save_image(high, path, kind=plan.container, quality=job.options.quality)
        context.previews.show(held, lambda: high, low, is_last=True)
        bits = bits_of(high, plan.container)
        _conclude(
            context,
            held,
            found.model_copy(update={"job": job, "plan": plan}),
            path,
            notices,
            bits=bits,
            size=_target_size(low, job),
        )
    finally:
        path.unlink(missing_ok=True)


def _enter(held: Held, job: Job, event: JobEvent, **changes: object) -> Job:
    """Move the state on, unless a worker before this one came so far already."""
    return held.move(event, **changes) if event in TRANSITIONS[job.state] else job


def _pinned(context: WorkerContext, job: Job, found: Manifest, low: Picture) -> tuple[Choice, str | None]:
    """The model and its version, as an earlier attempt or the former version's plan has it."""
    asked = job.options
    chosen = decide(asked.model or context.settings.default_image_model, traits_of(low.rgb), asked.strength)
    name, version = chosen.model, None
    if job.model is not None:
        name, version = job.model, job.version
    elif found.plan is not None:
        name, version = found.plan.model, found.plan.version
    return chosen if name == chosen.model else as_named(name, asked.strength), version


def _read(context: WorkerContext, held: Held, job: Job) -> Picture:
    with context.inputs.open(job.id, on_chunk=held.proceed) as path:
        pixels_max = context.settings.pixels_max
        strip, owner = job.options.strip, job.owner
        low = read_image(path, pixels_max=pixels_max, strip=strip, owner=owner, on_wait=held.proceed)
    check_output(job.options.format or low.format, *_target_size(low, job))
    return low


def _target_size(low: Picture, job: Job) -> tuple[int, int]:
    height, width = low.rgb.shape[:2]
    return target_size((width, height), job.options.size_wanted)


def _plan(low: Picture, job: Job, model: Served, chosen: Choice) -> Plan:
    height, width = low.rgb.shape[:2]
    return Plan(
        kind="image",
        source={"width": width, "height": height, "format": low.format},
        segments=ONE_FRAME,
        model=model.name,
        version=model.version,
        model_reason=chosen.reason,
        strength=chosen.strength,
        backend=model.backend,
        precision=model.precision,
        container=job.options.format or low.format,
        notices=low.notices,
    )


def _enlarged(held: Held, engine: Engine, low: Picture, job: Job, share: float) -> Picture:
    """Its colours by the network, its transparency by bicubic."""
    size = _target_size(low, job)
    rgb = reduced(_enlarge(held, engine, low.rgb, share), size)
    return low.with_pixels(rgb, None if low.alpha is None else enlarged_alpha(low.alpha, size))


def _enlarge(held: Held, engine: Engine, low: LowFrame, strength: float) -> HighFrame:
    """One frame from a clean state: (h, w, 3) -> (4h, 4w, 3)."""
    with engine.open(*low.shape[:2], is_deep=is_deep(low), strength=strength) as stream:
        held.on_stop = stream.close
        held.check()  # or what was told to stop before would wait for the frame
        try:
            stream.put(low)
            stream.end()
            with held.trusting(lambda: engine.advances(stream)):
                high = stream.get()
        except StreamClosed:
            held.check()
            raise LeaseLost("the engine was closed") from None
    assert high is not None, "one frame in, one frame out"
    return high


def _conclude(
    context: WorkerContext,
    held: Held,
    found: Manifest,
    path: Path,
    notices: tuple[str, ...],
    *,
    bits: int,
    size: tuple[int, int],
) -> None:
    """Store the result, of so many bits a sample and so wide and high, then say that the job has it."""
    plan, job = found.plan, found.job
    assert plan is not None
    job = _enter(held, job, JobEvent.ASSEMBLY_STARTED)
    result_key = keys.result_key(job.id, held.lease.fence, suffix_of(plan.container).removeprefix("."))
    with held.timed("upload"):
        patiently(context.storage.put_file, result_key, path, on_chunk=held.proceed)
    report = describe(
        found,
        path,
        attempts=held.lease.attempt,
        seconds=[held.stages.take()],
        wall_s=context.store.now() - job.created_at,
        on_chunk=held.proceed,
    )
    report |= {"frames_out": 1, "bit_depth": bits, "notices": list(dict.fromkeys([*plan.notices, *notices]))}
    held.confirm()
    ended = end(context.store, context.storage, job, JobEvent.SUCCEED, report=report, result_key=result_key)
    metrics.JOBS_ENDED.labels(ended.state).inc()
    if ended.state is JobState.SUCCEEDED and held.lease.attempt == 1:
        width, height = size
        measure(
            context,
            ended,
            megapixels_out=width * height / 1e6,
            result_bytes=report["result_bytes"],
            coded_as=f"{plan.container} {job.options.quality}",
        )
