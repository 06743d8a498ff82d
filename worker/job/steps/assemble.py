"""Assemble: join the parts of a job with the original sound, store the result, and say what was done.

The parts and states are deleted only when the job has succeeded: until then another worker can start over.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from service import metrics
from service.formats import ANIMATIONS, CONTAINERS
from service.jobs import keys, manifest
from service.jobs.ending import end
from service.jobs.manifest import Manifest, Plan
from service.jobs.model import Job
from service.jobs.states import JobEvent, JobState
from service.jobs.steps import segment_step
from worker.engine.reducing import enlarged_alpha
from worker.job.context import WorkerContext, read_notices
from worker.job.held import Held, LeaseLost, patiently
from worker.job.measuring import measure
from worker.job.report import describe
from worker.job.steps.plan import coded_as, encoding_of
from worker.job.steps.reuse import reused
from worker.media.animation.writing import assemble as animate
from worker.media.colour import hdr_of
from worker.media.types import Source, Timeline
from worker.media.writing import join

_JSON: Final = TypeAdapter(join.JoinReport)


def assemble(context: WorkerContext, held: Held) -> None:
    """Run the assembly step that is held."""
    job_id = held.lease.job_id
    held.move(JobEvent.ASSEMBLY_STARTED)
    found = manifest.load(context.storage, job_id)
    assert found.plan is not None, "assembly comes after planning"
    with tempfile.TemporaryDirectory(dir=context.scratch, prefix="assemble-") as folder:
        parts = _fetch_parts(context, held, found.plan, Path(folder))
        extension = found.plan.container
        target = Path(folder) / f"result.{extension}"
        with held.timed("assemble"), held.trusting(_writing_below(Path(folder))):
            details = _join(context, held, found, parts, target)
        held.check()
        result_key = keys.result_key(job_id, held.lease.fence, extension)
        with held.timed("upload"):
            patiently(context.storage.put_file, result_key, target, on_chunk=held.proceed)
        steps = list(context.store.steps(job_id).values())
        report = describe(
            found,
            target,
            attempts=sum(step.attempts for step in steps),
            seconds=[*(step.seconds for step in steps), held.stages.take()],
            wall_s=context.store.now() - found.job.created_at,
            on_chunk=held.proceed,
        )
        report |= details
        notices = [*found.plan.notices, *read_notices(context, job_id), *report.get("notices", [])]
        report["notices"] = list(dict.fromkeys(notices))
    held.confirm()
    job = context.store.get(job_id)
    job = end(context.store, context.storage, job, JobEvent.SUCCEED, report=report, result_key=result_key)
    metrics.JOBS_ENDED.labels(job.state).inc()
    if job.state is JobState.SUCCEEDED and all(step.attempts <= 1 for step in steps):
        _measure(context, found, job)
    context.inputs.forget(job_id)


def _measure(context: WorkerContext, found: Manifest, job: Job) -> None:
    plan = found.plan
    assert plan is not None
    assert job.report is not None
    encoding = encoding_of(found)
    measure(
        context,
        job,
        megapixels_out=encoding.width * encoding.height * plan.frame_count / 1e6,
        result_bytes=job.report["result_bytes"],
        coded_as=plan.container if plan.container in ANIMATIONS else coded_as(encoding),
    )


def _fetch_parts(context: WorkerContext, held: Held, plan: Plan, folder: Path) -> list[Path]:
    steps = context.store.steps(held.lease.job_id)
    paths = []
    for segment in plan.segments:
        if (record := steps.get(segment_step(segment.index))) is None:
            raise LeaseLost("the job has ended")
        assert record.part_key is not None, "assembly is runnable only when every part is there"
        paths.append(folder / f"{segment.index:06d}.part")
        context.storage.fetch(record.part_key, paths[-1], on_chunk=held.proceed)
    return paths


def _join(
    context: WorkerContext, held: Held, found: Manifest, parts: list[Path], target: Path
) -> dict[str, Any]:
    plan = found.plan
    assert plan is not None
    if plan.container in ANIMATIONS:
        return _animate(context, held, found, parts, target)
    container = next(each for each in CONTAINERS if each == plan.container)
    options, source, encoding = found.job.options, Source.from_json(plan.source), encoding_of(found)
    timeline = Timeline.from_json(plan.timeline)
    is_trimmed = (options.start, options.duration) != (None, None) or bool(options.sample)
    with context.inputs.open(found.job.id, on_chunk=held.proceed) as path:
        joined = join.assemble(
            parts,
            # An animation has no streams beside its picture, and FFmpeg is not to open it.
            source_path=parts[0] if plan.kind == "animation" else path,
            source=source,
            timeline=timeline,
            encoding=encoding,
            container=container,
            out=target,
            is_trimmed=is_trimmed,
            on_packet=held.proceed,
        )
    return {
        "frames_in": timeline.picture_count,
        "frames_out": joined.frame_count,
        "frames_reused": len(reused(timeline)),
        "codec": encoding.codec,
        "bit_depth": encoding.depth,
        "hdr": hdr_of(encoding.colour),
        "pixel_aspect": str(source.sar),
        "rotation": source.rotation,
        "colour": encoding.written_colour.to_json(),
        "timestamp_difference_s": float(joined.difference_s_max),
        **({"start_s": _start_s(source, timeline)} if is_trimmed else {}),
        **_JSON.dump_python(joined, mode="json", include={"copied", "dropped", "notices"}),
    }


def _start_s(source: Source, timeline: Timeline) -> float:
    return round(float(timeline.times[0] * timeline.time_base - source.start_s), 6)


def _animate(
    context: WorkerContext, held: Held, found: Manifest, parts: list[Path], target: Path
) -> dict[str, Any]:
    plan = found.plan
    assert plan is not None
    source, timeline, encoding = (
        Source.from_json(plan.source),
        Timeline.from_json(plan.timeline),
        encoding_of(found),
    )
    with context.inputs.open(found.job.id, on_chunk=held.proceed) as path:
        animate(
            parts,
            source_path=path,
            source=source,
            timeline=timeline,
            size=(encoding.width, encoding.height),
            kind=plan.container,
            quality=found.job.options.quality,
            enlarge_alpha=enlarged_alpha,
            out=target,
            on_frame=held.proceed,
        )
    return {
        "frames_out": timeline.frame_count,
        "frames_reused": len(reused(timeline)),
        "plays": source.plays,
        "transparent": source.pix_fmt == "rgba",
    }


def _writing_below(folder: Path) -> Callable[[], bool]:
    """Whether a file there changed since it was asked last.

    FFmpeg moves an mp4 within itself when it closes it, so that its index comes first: without a word, and on
    a slow disk for minutes.
    """
    seen: set[tuple[str, int, int]] = set()

    def changed() -> bool:
        nonlocal seen
        before, seen = seen, set()
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # given its name meanwhile
                stat = path.stat()
                seen.add((path.name, stat.st_mtime_ns, stat.st_size))
        return seen != before

    return changed
