"""Assembly: parts end to end with the plan's times, and everything else of the source beside them.

Nothing is re-encoded. The result is written aside, read back and compared with the plan and the source, and
only then gets its name. Not here: how a file is written (mux.py, stamps.py, reading/tracks.py). Start at
`assemble`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from service.errors import OutputInvalid
from service.formats import MATROSKAS, Container
from worker.media.checking.compare import CopiedStream, Times, compare_stream, read_times
from worker.media.reading.container import open_media
from worker.media.reading.tracks import Dropped, Window
from worker.media.types import Source, Timeline
from worker.media.writing.atomic import aside_of, settle
from worker.media.writing.encoding import Encoding
from worker.media.writing.mux import Layout, Part, file_tags, write
from worker.media.writing.stamps import show_order

MATROSKA_STEP_S = Fraction(1, 1000)
# Sound from a millisecond clock, in another millisecond clock or laid out by sample counts.
COPY_DIFFERENCE_S_MAX = 2 * MATROSKA_STEP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReport:
    """What assembly did, for the job's report."""

    container: Container
    frame_count: int
    difference_s_max: Fraction  # between the times of the plan and of the file
    copied: tuple[CopiedStream, ...]
    dropped: tuple[Dropped, ...]
    notices: tuple[str, ...] = ()


def assemble(
    parts: Sequence[Path],
    *,
    source_path: Path,
    source: Source,
    timeline: Timeline,
    encoding: Encoding,
    container: Container,
    out: Path,
    is_trimmed: bool = False,
    on_packet: Callable[[], None] = lambda: None,
) -> JoinReport:
    """Join `parts` to `out` with the sound, subtitles, chapters and tags of `source_path`.

    is_trimmed  the timeline is a piece of the source: the result begins at zero, and what is copied beside
                the picture is cut and moved alike
    on_packet   called for every packet written or read back; what it raises stops the work and leaves no file
    Raises OutputInvalid where parts and plan disagree, or where the file read back is not what was meant.
    """
    window = window_of(timeline, is_trimmed=is_trimmed)
    layout = Layout(
        parts=_measure(parts, timeline),
        source_path=source_path,
        source=source,
        timeline=timeline,
        encoding=encoding,
        container=container,
        window=window,
    )
    aside = aside_of(out)
    try:
        written = write(layout, aside, on_packet=on_packet)
        difference_s = _check_times(read_times(aside, on_packet=on_packet), timeline, window, container)
        copied = tuple(
            compare_stream(source_path, before, aside, after, window=window, on_packet=on_packet)
            for before, after in written.copies
        )
        _check_copies(copied, times_moved=written.moved_count > 0)
        lost_tags = _lost_tags(aside, source, container)
        settle(aside, out)
    finally:
        aside.unlink(missing_ok=True)
    moved = f"{written.moved_count} packets of the source had times that did not rise; they were moved"
    return JoinReport(
        container=container,
        frame_count=timeline.frame_count,
        difference_s_max=difference_s,
        copied=copied,
        dropped=(*written.dropped, *lost_tags),
        notices=(moved,) if written.moved_count else (),
    )


def window_of(timeline: Timeline, *, is_trimmed: bool) -> Window:
    """The piece of the source that the timeline covers; all of it, unmoved, where nothing was cut."""
    if not is_trimmed:
        return Window()
    start_s = timeline.times[0] * timeline.time_base
    end_s = (timeline.times[-1] + timeline.duration) * timeline.time_base
    return Window(start_s=start_s, end_s=end_s, shift_s=-start_s)


def _measure(paths: Sequence[Path], timeline: Timeline) -> tuple[Part, ...]:
    """Read the order of every part and see that together they have the frames of the plan."""
    parts: list[Part] = []
    first = 0
    headers = set()
    for path in paths:
        with av.open(str(path), format="matroska") as container:
            stream = container.streams.video[0]
            headers.add(stream.codec_context.extradata)
            times = [packet.pts for packet in container.demux(stream) if packet.size]
        order = show_order([time for time in times if time is not None])
        parts.append(Part(path, first, tuple(order)))
        first += len(order)
    if first != timeline.frame_count:
        message = f"the parts hold {first} frames, the plan has {timeline.frame_count}"
        raise OutputInvalid(message, field="frames", value=first)
    if len(headers) != 1:
        raise OutputInvalid("the parts differ in their parameter sets", field="parts", value=len(headers))
    return tuple(parts)


def _check_times(found: Times, timeline: Timeline, window: Window, container: Container) -> Fraction:
    """Compare the file as read back; returns the largest difference between a frame's time and its plan."""
    if len(found.times) != timeline.frame_count:
        message = f"the file holds {len(found.times)} frames, the plan has {timeline.frame_count}"
        raise OutputInvalid(message, field="frames", value=len(found.times))
    wanted_s = (time * timeline.time_base + window.shift_s for time in timeline.times)
    largest_s = max(
        abs(time * found.time_base - wanted) for time, wanted in zip(found.times, wanted_s, strict=True)
    )
    allowed_s = MATROSKA_STEP_S if container in MATROSKAS else Fraction(0)
    if largest_s > allowed_s:
        message = f"a frame is {float(largest_s)} s from its time"
        raise OutputInvalid(message, field="times", value=float(largest_s))
    end_s = (timeline.times[-1] + timeline.duration) * timeline.time_base + window.shift_s
    if found.end_s is None or abs(found.end_s - end_s) > 2 * allowed_s:  # start and length are each rounded
        message = f"the video ends at {found.end_s} s and not at {end_s} s"
        raise OutputInvalid(message, field="duration", value=str(found.end_s))
    return largest_s


def _check_copies(copied: Sequence[CopiedStream], *, times_moved: bool) -> None:
    """Refuse a file whose copies differ from the source; times may differ only where they had to move."""
    for stream in copied:
        if not stream.is_same:
            message = f"{stream.kind} stream {stream.source_index} has {stream.copy_count} packets, "
            message += f"the source {stream.packet_count}, or other bytes"
            raise OutputInvalid(message, field="packets", value=stream.copy_count)
        if stream.difference_s_max > COPY_DIFFERENCE_S_MAX and not times_moved:
            message = f"a packet of {stream.kind} stream {stream.source_index} is out of place"
            raise OutputInvalid(message, field="packets", value=float(stream.difference_s_max))


def _lost_tags(path: Path, source: Source, container: Container) -> tuple[Dropped, ...]:
    """mp4 has names for the usual tags only, and its muxer leaves others out without a word."""
    with open_media(path) as written:
        found = {key.lower() for key in written.metadata}
    lost = [key for key in file_tags(source) if key.lower() not in found]
    return tuple(Dropped(what=f"tag {key!r}", why=f"{container} has no place for it") for key in lost)
