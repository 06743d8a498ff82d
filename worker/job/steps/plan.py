"""Plan: look inside a video, refuse what can't be done right, and cut the rest into segments.

Everything later steps must agree on is decided here once and stored in the manifest: frames and their times,
places to seek to, segments, model version, backend, precision, codec and container.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.auto import Choice, Traits, decide
from service.errors import InvalidOption, NotMedia, TooLong
from service.formats import ANIMATIONS, CONTAINERS, codec_for
from service.jobs import manifest
from service.jobs.manifest import Manifest, Plan, Segment
from service.jobs.model import Options
from service.jobs.states import JobEvent, JobState
from service.settings import Settings
from worker.job.context import WorkerContext
from worker.job.held import Held
from worker.job.steps.feeder import LEAD_IN
from worker.media.animation.writing import check_output
from worker.media.colour import encodable, hdr_of
from worker.media.reading.container import sniff
from worker.media.reading.survey import SAMPLE_S
from worker.media.reading.tracks import choose_container, without_place
from worker.media.sandbox.reading import look_through, probe, scan, survey
from worker.media.sizes import target_size
from worker.media.types import Limits, Source, Timeline
from worker.media.writing.encoding import Encoding, check_size, depth_of, h264_allows, quality_of


def plan(context: WorkerContext, held: Held) -> None:
    """Run the planning step that is held."""
    job_id = held.lease.job_id
    started = held.move(JobEvent.PLANNING_STARTED)
    found = manifest.load(context.storage, job_id)
    planned = found.plan or _make(context, held, found)
    held.check()
    if started.purpose == "upscale":
        context.store.charge(job_id, _megapixels(planned))
    # With its times, which a store that is rebuilt has from nowhere else.
    job = started.moved(JobState.RUNNING, at=context.store.now())
    planned = manifest.settle_plan(context.storage, found.model_copy(update={"job": job}), planned)
    context.store.set_segments(job_id, planned.segments, planned.runtime)
    held.move(
        JobEvent.PLANNED,
        frames_total=planned.frame_count,
        megapixels=_megapixels(planned),
        model=planned.model,
        version=planned.version,
    )
    held.span.note(frames=planned.frame_count, model=planned.model, version=planned.version)
    held.finish()


def _make(context: WorkerContext, held: Held, found: Manifest) -> Plan:
    found.job.options.check_fit(found.job.kind)
    look = _plan_animation if found.job.kind == "animation" else _plan_video
    with context.inputs.open(found.job.id, on_chunk=held.proceed) as path, held.timed("plan"):
        return look(context, held, path, found.job.options)


def _megapixels(planned: Plan) -> float:
    """Of all frames, as they came in."""
    source = Source.from_json(planned.source)
    return source.width * source.height * planned.frame_count / 1e6


def cut_segments(frame_count: int, cuts: Iterable[int], *, frames_max: int) -> tuple[Segment, ...]:
    """Cut every shot into a chain of near-equal segments of at most `frames_max` frames.

    cuts   frames that start a new shot; 0 need not be among them
    """
    segments: list[Segment] = []
    for start, stop in itertools.pairwise([0, *cuts, frame_count]):
        pieces = -(-(stop - start) // frames_max)
        bounds = [start + (stop - start) * piece // pieces for piece in range(pieces + 1)]
        for first, last in itertools.pairwise(bounds):
            index = len(segments)
            follows = None if first == start else index - 1
            segments.append(Segment(index=index, frame_start=first, frame_stop=last, follows=follows))
    return tuple(segments)


def coded_as(encoding: Encoding) -> str:
    """What files of one size in bytes a pixel have in common, but for what they show."""
    return f"{encoding.codec} {encoding.quality}"


def encoding_of(found: Manifest) -> Encoding:
    """How the frames of a planned video are written; the same for every part."""
    assert found.plan is not None
    return encoding_to(Source.from_json(found.plan.source), found.job.options)


def _plan_video(context: WorkerContext, held: Held, path: Path, options: Options) -> Plan:
    limits = limits_of(context.settings)
    source = probe(path, limits=limits, on_wait=held.proceed)
    if source.kind != "video":
        raise NotMedia("the file's signature says video, its content does not", field="file")
    reasons: tuple[str, ...] = ()
    if options.strip == "gps" and (tags := without_place(source.tags)) != source.tags:
        source, reasons = replace(source, tags=tags), ("where it was filmed was removed from the tags",)
    encoding = encoding_to(source, options)  # refuses what can't be written before every frame is looked at
    wanted = options.format if options.format in CONTAINERS else None
    container, why = choose_container(source, wanted, codec=encoding.codec)
    start_s, duration_s = options.start, options.duration
    if options.sample:
        start_s, duration_s = survey(path, source, on_wait=held.proceed).richest_s, SAMPLE_S
        why = (*why, f"a sample: {SAMPLE_S:g} seconds from {start_s:g} s on, where there is most detail")
    timeline = scan(
        path,
        source,
        limits=limits,
        start_s=start_s,
        duration_s=duration_s,
        deinterlace=options.deinterlace or "auto",
        on_frame=_counting(context.settings, held),
        on_wait=held.proceed,
    )
    how = timeline.deinterlacing
    if how is not None and source.rate is not None:
        source = replace(source, rate=source.rate * how.frames_per_picture)
    return _planned(context, source, timeline, options, container=container, notices=reasons + why)


def _plan_animation(context: WorkerContext, held: Held, path: Path, options: Options) -> Plan:
    kind = sniff(path)
    container = container_of_animation(kind, options)
    is_video = container in CONTAINERS
    source, timeline = look_through(
        path,
        kind,
        limits=limits_of(context.settings),
        is_laid_on_white=is_video,
        on_frame=_counting(context.settings, held),
        on_wait=held.proceed,
    )
    encoding = encoding_to(source, options)
    notices = check_output(container, source, timeline, encoding.width, encoding.height)
    return _planned(context, source, timeline, options, container=container, notices=notices)


def container_of_animation(kind: str, options: Options) -> str:
    """The format of the result, of which the input's own is the default."""
    return options.format or kind


def _planned(
    context: WorkerContext,
    source: Source,
    timeline: Timeline,
    options: Options,
    *,
    container: str,
    notices: Sequence[str],
) -> Plan:
    frames_max = _segment_frames_max(context.settings, timeline)
    encoding = encoding_to(source, options)
    notices = [*notices, *encoding_notices(source, options, encoding)]
    return Plan(
        kind=source.kind,
        source=source.to_json(),
        timeline=timeline.to_json(),
        segments=cut_segments(timeline.frame_count, timeline.cuts, frames_max=frames_max),
        codec=encoding.codec,
        container=container,
        lead_in=LEAD_IN,
        notices=(*source.notices, *timeline.notices, *notices),
        **_pin(context, _chosen(context.settings, options, timeline.traits)),
    )


def encoding_notices(source: Source, options: Options, encoding: Encoding) -> Iterator[str]:
    """What was chosen for the sender, and what it costs."""
    if encoding.codec == "hevc" != options.codec:
        if source.is_deep:
            yield f"written as HEVC, which keeps {encoding.depth} bits a sample"
        else:
            size = f"{encoding.width}x{encoding.height}"
            yield f"written as HEVC: no level of H.264 allows {size}"
    if encoding.depth < source.depth:
        yield f"{source.depth} bits a sample were reduced to {encoding.depth}, as {encoding.codec} holds them"


def limits_of(settings: Settings) -> Limits:
    return Limits(pixels_max=settings.pixels_max, duration_s_max=settings.duration_s_max)


def _counting(settings: Settings, held: Held) -> Callable[[int], None]:
    """What a pass over all frames tells how many there were."""

    def on_frame(frame_count: int) -> None:
        held.proceed()
        if frame_count > settings.frames_max:
            message = f"the video has more than {settings.frames_max} frames"
            raise TooLong(message, field="frames", value=settings.frames_max)

    return on_frame


def _chosen(settings: Settings, options: Options, traits: Traits | None) -> Choice:
    return decide(options.model or settings.default_video_model, traits, options.strength)


def _pin(context: WorkerContext, chosen: Choice) -> dict[str, Any]:
    """The model's version now, and how this worker runs it; raises UnknownModel."""
    with context.models.acquire(chosen.model) as model:
        return {
            "model": chosen.model,
            "model_reason": chosen.reason,
            "strength": chosen.strength,
            "version": model.version,
            "backend": model.backend,
            "precision": model.precision,
        }


def encoding_to(source: Source, options: Options) -> Encoding:
    # The frames of an animated picture are joined from lossless parts.
    is_picture = (
        source.kind == "animation" and container_of_animation(source.container, options) in ANIMATIONS
    )
    chosen = options.codec or codec_for(options.format, is_deep=source.is_deep)
    codec = "ffv1" if is_picture else chosen
    hdr = hdr_of(source.colour)
    if codec == "h264" and hdr is not None:
        message = f"H.264 is written with 8 bits a sample, in which {hdr} shows bands; codec=hevc keeps HDR"
        raise InvalidOption(message, field="codec", value=codec)
    width, height = target_size(
        (source.width, source.height),
        options.size_wanted,
        sar=source.sar,
        rotation=source.rotation,
        is_even=codec != "ffv1",
    )
    if codec == "h264" != options.codec and not h264_allows(width, height):
        codec = "hevc"
    check_size(codec, width, height)
    return Encoding(
        codec=codec,
        width=width,
        height=height,
        colour=encodable(source.colour),
        quality=None if options.quality is None or codec == "ffv1" else quality_of(codec, options.quality),
        depth=depth_of(codec, source.depth),
        is_deep=source.is_deep,
        light=source.light,
        sar=source.sar,
        **({} if source.rate is None else {"rate": source.rate}),
    )


def _segment_frames_max(settings: Settings, timeline: Timeline) -> int:
    span = (timeline.times[-1] + timeline.duration - timeline.times[0]) * timeline.time_base
    rate_fps = timeline.frame_count / span if span > 0 else 25
    return max(1, min(settings.segment_frames_max, int(rate_fps * settings.segment_s_max)))
