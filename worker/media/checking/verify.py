"""Conformance of a result to its input: what a person would want to know before trusting it.

Both files are decoded by the decoder that planning uses, and copied streams are compared packet for packet.
Pixels are not judged. Nothing here knows how the result was made, so it checks files of any age. Start at
`verify`.
"""

import hashlib
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from worker.frames import is_deep
from worker.media.animation.writing import step_ms
from worker.media.checking.compare import CopiedStream, compare_stream
from worker.media.colour import LIMITED, RGB, encodable, hdr_of
from worker.media.pictures.writing import bits_of
from worker.media.reading.container import kind_of, open_media, sniff
from worker.media.reading.fields import in_frames
from worker.media.reading.tracks import Window, find_empty
from worker.media.sandbox.pictures import read_image
from worker.media.sandbox.reading import look_through, probe, scan
from worker.media.types import Colour, Deinterlacing, Limits, Source, StreamInfo, Timeline
from worker.media.writing.join import COPY_DIFFERENCE_S_MAX, MATROSKA_STEP_S, window_of

# Bounds against nonsense in a header; a result is 16 times larger than what the service would take.
_NAMES = {"image": "a picture", "animation": "an animation", "video": "a video"}
LIMITS = Limits(pixels_max=2**30, duration_s_max=7 * 24 * 3600)


def verify(
    input_path: Path,
    output_path: Path,
    *,
    scale: int | None = None,
    start_s: float | None = None,
    duration_s: float | None = None,
) -> dict[str, Any]:
    """Compare two files; the report is plain data, and "problems" is empty where nothing is wrong.

    scale                what the sizes must differ by; any, but the same both ways, by default
    start_s, duration_s  what the result was cut to, if it was
    Raises InputError for a file that cannot be read.
    """
    match kind_of(input_path), kind_of(output_path):
        case "image", "image":
            report = _verify_pictures(input_path, output_path, scale)
        case "video", "video":
            report = _verify_videos(input_path, output_path, scale, start_s, duration_s)
        case "animation", ("animation" | "video") as became:
            report = _verify_animations(input_path, output_path, scale, is_video=became == "video")
        case kinds:
            before, after = (_NAMES[kind] for kind in kinds)
            return {"problems": [f"the input is {before}, the output {after}"]}
    return report | {"sha256_in": _digest(input_path), "sha256_out": _digest(output_path)}


def _verify_videos(
    input_path: Path, output_path: Path, scale: int | None, start_s: float | None, duration_s: float | None
) -> dict[str, Any]:
    before, after = probe(input_path, limits=LIMITS), probe(output_path, limits=LIMITS)
    plan = scan(input_path, before, limits=LIMITS, start_s=start_s, duration_s=duration_s, deinterlace="off")
    found = scan(output_path, after, limits=LIMITS, deinterlace="off")
    if found.frame_count == 2 * plan.frame_count:  # a frame of each field
        plan = in_frames(plan, Deinterlacing(parity="auto", frames_per_picture=2))
    window = window_of(plan, is_trimmed=start_s is not None or duration_s is not None)
    problems = _size_problems((before.width, before.height), (after.width, after.height), scale)
    problems += _time_problems(plan, found, window, _step_s(after))
    problems += _picture_problems(before, after)
    streams, missing = _compare_streams(input_path, before, output_path, after, window)
    problems += [f"{info.kind} stream {info.index} ({info.codec}) is missing" for info in missing]
    problems += [problem for stream in streams for problem in _stream_problems(stream)]
    return {
        "kind": "video",
        **_both(before, plan, after, found, window),
        "pixel_aspect_in": str(before.sar),
        "pixel_aspect_out": str(after.sar),
        "rotation_in": before.rotation,
        "rotation_out": after.rotation,
        "colour_in": before.colour.to_json(),
        "colour_out": after.colour.to_json(),
        "bit_depth_in": before.depth,
        "bit_depth_out": after.depth,
        "hdr_in": hdr_of(before.colour),
        "hdr_out": hdr_of(after.colour),
        "chapters_in": len(before.chapters),
        "chapters_out": len(after.chapters),
        "streams": [
            asdict(stream) | {"difference_s_max": float(stream.difference_s_max)} for stream in streams
        ],
        "missing": [info.to_json() for info in missing],
        "problems": problems,
    }


def _verify_animations(
    input_path: Path, output_path: Path, scale: int | None, *, is_video: bool
) -> dict[str, Any]:
    before, plan = look_through(input_path, sniff(input_path), limits=LIMITS, is_laid_on_white=False)
    if is_video:
        after = probe(output_path, limits=LIMITS)
        found = scan(output_path, after, limits=LIMITS, deinterlace="off")
        step_s = _step_s(after)
    else:
        after, found = look_through(output_path, sniff(output_path), limits=LIMITS, is_laid_on_white=False)
        step_s = Fraction(step_ms(after.container, plan) or 0, 2000)
    problems = _size_problems((before.width, before.height), (after.width, after.height), scale)
    problems += _time_problems(plan, found, Window(), step_s)
    if before.plays != after.plays and not is_video:
        problems.append(f"{before.plays} times of being shown (0 is for ever) became {after.plays}")
    is_transparent = [each.pix_fmt == "rgba" for each in (before, after)]
    if is_transparent[0] != is_transparent[1]:
        problems.append("transparency was not kept")
    return {
        "kind": "animation",
        **_both(before, plan, after, found, Window()),
        "format_in": before.container,
        "format_out": after.container,
        "plays_in": before.plays,
        "plays_out": after.plays,
        "transparent_in": is_transparent[0],
        "transparent_out": is_transparent[1],
        "problems": problems,
    }


def _both(before: Source, plan: Timeline, after: Source, found: Timeline, window: Window) -> dict[str, Any]:
    """What is told of every two things that move."""
    difference_s = _time_difference_s(plan, found, window)
    return {
        "frames_in": plan.picture_count,
        "frames_out": found.frame_count,
        "time_difference_s_max": None if difference_s is None else float(difference_s),
        "duration_in_s": float(_length_s(plan)),
        "duration_out_s": float(_length_s(found)),
        "size_in": [before.width, before.height],
        "size_out": [after.width, after.height],
    }


def _step_s(video: Source) -> Fraction:
    """How far its container may move a frame."""
    return MATROSKA_STEP_S if video.container in ("matroska", "webm") else Fraction(0)


def _time_problems(plan: Timeline, found: Timeline, window: Window, step_s: Fraction) -> list[str]:
    problems = []
    difference_s = _time_difference_s(plan, found, window)
    if difference_s is None:
        problems.append(f"{plan.frame_count} frames became {found.frame_count}")
    elif difference_s > step_s:
        problems.append(f"a frame is shown {float(difference_s):.6f} s from its time")
    length_s = [_length_s(timeline) for timeline in (plan, found)]
    if abs(length_s[0] - length_s[1]) > length_s[0] / plan.frame_count + step_s:
        problems.append(f"{float(length_s[0]):.3f} s became {float(length_s[1]):.3f} s")
    return problems


def _size_problems(before: tuple[int, int], after: tuple[int, int], scale: int | None) -> list[str]:
    """Each side is rounded to a whole pixel; an odd one, as three times of an odd one, to an even one."""
    if scale is None:
        is_right = abs(before[0] * after[1] - before[1] * after[0]) <= before[0] + before[1]
    else:
        is_right = all(abs(b - a * scale) <= a * scale % 2 for a, b in zip(before, after, strict=True))
    return [] if is_right else [f"{before[0]}x{before[1]} became {after[0]}x{after[1]}"]


def _time_difference_s(plan: Timeline, found: Timeline, window: Window) -> Fraction | None:
    if plan.frame_count != found.frame_count:
        return None
    return max(
        abs(before * plan.time_base + window.shift_s - after * found.time_base)
        for before, after in zip(plan.times, found.times, strict=True)
    )


def _length_s(timeline: Timeline) -> Fraction:
    return (timeline.times[-1] + timeline.duration - timeline.times[0]) * timeline.time_base


def _picture_problems(before: Source, after: Source) -> list[str]:
    problems = []
    if before.sar != after.sar:
        problems.append(f"the pixel aspect {before.sar} became {after.sar}")
    if before.rotation != after.rotation:
        problems.append(f"the rotation {before.rotation} became {after.rotation}")
    if before.depth > after.depth:
        problems.append(f"{before.depth} bits a sample became {after.depth}")
    if before.light != after.light:
        problems.append("what is said of the mastering screen's or the content's light was not kept")
    wanted = encodable(before.colour)
    if after.colour.matrix == RGB:  # lossless RGB: nothing to name but what the light means
        wanted = Colour(
            matrix=RGB, primaries=wanted.primaries, transfer=wanted.transfer, range=after.colour.range
        )
    if after.codec == "prores":
        wanted = replace(wanted, range=LIMITED)
    if wanted != after.colour:
        problems.append(f"the colour tags {wanted.to_json()} became {after.colour.to_json()}")
    if [chapter.title for chapter in before.chapters] != [chapter.title for chapter in after.chapters]:
        problems.append(f"{len(before.chapters)} chapters became {len(after.chapters)}, or have other titles")
    return problems


def _compare_streams(
    input_path: Path, before: Source, output_path: Path, after: Source, window: Window
) -> tuple[list[CopiedStream], list[StreamInfo]]:
    """Pair sound and subtitles in the order of the input, by codec; what finds no partner is missing."""
    free = [*after.audio, *after.subtitles]
    compared, missing = [], []
    wanted = (*before.audio, *before.subtitles)
    with open_media(input_path) as origin:  # what has nothing in the span need not be there
        empty = find_empty(origin, [origin.streams[info.index] for info in wanted], window)
    for info in wanted:
        if info.index in empty:
            continue
        partner = next(
            (other for other in free if (other.kind, other.codec) == (info.kind, info.codec)), None
        )
        if partner is None:
            missing.append(info)
            continue
        free.remove(partner)
        compared.append(compare_stream(input_path, info.index, output_path, partner.index, window=window))
    return compared, missing


def _stream_problems(stream: CopiedStream) -> list[str]:
    name = f"{stream.kind} stream {stream.source_index}"
    if not stream.is_same:
        return [f"{name} has {stream.packet_count} packets, its copy {stream.copy_count}, or other bytes"]
    if stream.difference_s_max > COPY_DIFFERENCE_S_MAX:
        return [f"{name} is up to {float(stream.difference_s_max):.3f} s from its time"]
    return []


def _verify_pictures(input_path: Path, output_path: Path, scale: int | None) -> dict[str, Any]:
    before = read_image(input_path, pixels_max=LIMITS.pixels_max)
    after = read_image(output_path, pixels_max=LIMITS.pixels_max)
    (h, w), (high_h, high_w) = before.rgb.shape[:2], after.rgb.shape[:2]
    problems = _size_problems((w, h), (high_w, high_h), scale)
    for what, kept in (
        ("transparency", (before.alpha is None) == (after.alpha is None)),
        ("the ICC profile", before.icc == after.icc),
        ("grey as grey", before.is_grey == after.is_grey),
        ("16 bits a sample", is_deep(after.rgb) or not is_deep(before.rgb)),
    ):
        if not kept:
            problems.append(f"{what} was not kept")
    return {
        "kind": "image",
        "bit_depth_in": bits_of(before, before.format),
        "bit_depth_out": bits_of(after, after.format),
        "format_in": before.format,
        "format_out": after.format,
        "size_in": [w, h],
        "size_out": [high_w, high_h],
        "problems": problems,
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
