"""The one decoder: planning and processing both read frames here, so that their counts cannot differ.

`decode` gives exactly the wanted frames as RGB; `pictures` gives what the codec shows, for timeline.py too.
Not here: which frames there are and where one may seek (timeline.py), how whole ones are made of fields
(fields.py), what colours mean (colour.py).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import Literal, TypeAlias, cast

import av
import av.container
import numpy as np
from av.codec.context import Flags, ThreadType

from service.errors import BrokenMedia, UnsupportedMedia
from worker.frames import LowFrame
from worker.media.colour import from_swscale, to_rgb
from worker.media.reading.container import open_media
from worker.media.reading.fields import deinterlaced, of_pictures, pictures_for
from worker.media.reading.shots.thumbnails import Thumbnails, fingerprint
from worker.media.types import Key, Source, Timeline

Packet: TypeAlias = "av.Packet[av.VideoStream]"  # generic in PyAV's stubs only
Clock = Literal["pts", "dts"]

# Each thread holds one frame in flight; four 4K frames are 50 MB, and networks are slower than four threads.
_THREADS = 4


@dataclass(slots=True)
class Damage:
    """What could not be read or decoded on the way; filled in by `read_packets` and `pictures`."""

    broken_packets: int = 0
    broken_frames: int = 0  # shown, as well as the decoder could patch them
    is_cut_short: bool = False

    @property
    def is_in_frames(self) -> bool:
        return bool(self.broken_packets or self.broken_frames)


def decode(
    path: Path,
    source: Source,
    timeline: Timeline,
    start: int,
    stop: int,
    *,
    on_picture: Callable[[], None] = lambda: None,
) -> Generator[LowFrame]:
    """Frames [start, stop) as (h, w, 3) RGB, uint8 or, of a deep source, uint16.

    Exhaust it or close it: it holds the file open.

    on_picture   called for every frame decoded, also for those that come before the wanted ones
    Decodes from the last key at or before `start`, hence at most one group of pictures more than asked for;
    from earlier ones only where damage makes that necessary.
    Raises BrokenMedia if the frames are not those that the timeline lists.
    """
    with to_rgb(
        source.width,
        source.height,
        pix_fmt=source.pix_fmt,
        codec=source.codec,
        colour=source.colour,
        chroma_place=source.chroma_place,
        is_deep=source.is_deep,
    ) as converter:
        for frame in frames(path, source, timeline, start, stop, on_picture=on_picture):
            yield from_swscale(_pixels(converter.convert(frame)), source.colour, source.depth)


def frames(
    path: Path,
    source: Source,
    timeline: Timeline,
    start: int,
    stop: int,
    *,
    on_picture: Callable[[], None] = lambda: None,
) -> Generator[av.VideoFrame]:
    """As `decode`, in the codec's own samples; the same from any place, deinterlaced ones as well."""
    assert 0 <= start < stop <= timeline.frame_count
    how = timeline.deinterlacing
    if how is None:
        yield from _pictures_between(path, source, timeline, range(start, stop), on_picture)
        return
    wanted = pictures_for(how, start, stop, picture_count=timeline.picture_count)
    shown = _pictures_between(path, source, of_pictures(timeline), wanted, on_picture)
    made = deinterlaced(shown, how)
    first = start - wanted.start * how.frames_per_picture
    count = 0
    for frame in islice(made, first, first + stop - start):
        yield frame
        count += 1
    assert count == stop - start


def _pictures_between(
    path: Path, source: Source, timeline: Timeline, wanted: range, on_picture: Callable[[], None]
) -> Generator[av.VideoFrame]:
    done = wanted.start
    for key in _keys_to_try(timeline, wanted.start):
        left = range(done, wanted.stop)
        for picture in _pictures_from(path, source, timeline, key, left, on_picture=on_picture):
            yield picture
            done += 1
        if done == wanted.stop:
            return
    raise BrokenMedia(
        f"frame {done} was there when the file was read first and is not now", field="frame", value=done
    )


def _keys_to_try(timeline: Timeline, start: int) -> Iterator[Key]:
    """The last key at or before `start`; others for a file so damaged that it gives less than was seen."""
    keys = timeline.keys[: bisect_right(timeline.keys, start, key=lambda k: k.frame_index)]
    # Frames that are told by their times can also be looked for from the first byte, without any seeking.
    last = keys[0] if timeline.is_counted else Key(keys[0].frame_index, Key.FILE_START)
    return iter(dict.fromkeys((keys[-1], *keys[-2:-1], last)))


def _pictures_from(
    path: Path,
    source: Source,
    timeline: Timeline,
    key: Key,
    wanted: range,
    *,
    on_picture: Callable[[], None],
) -> Iterator[av.VideoFrame]:
    """The wanted frames in order, decoding from `key`; fewer, if one is missing or is not the one it was."""
    thumbnails = Thumbnails()
    with open_media(path) as container:
        stream = open_stream(container, source)
        shown = pictures(stream, source, _packets_from(container, stream, timeline, key), Damage())
        expected = wanted.start
        for frame_index, picture in _numbered(_told(shown, on_picture), timeline, key):
            if frame_index < expected:
                continue
            if frame_index != expected or not _is_known(timeline, frame_index, picture, thumbnails):
                return
            yield picture
            expected += 1
            if expected == wanted.stop:
                return


def _told(shown: Iterable[av.VideoFrame], on_picture: Callable[[], None]) -> Iterator[av.VideoFrame]:
    for picture in shown:
        on_picture()
        yield picture


def _pixels(picture: av.VideoFrame) -> LowFrame:
    frame = picture.to_ndarray()
    assert frame.dtype in (np.uint8, np.uint16)
    assert frame.shape == (picture.height, picture.width, 3)
    return cast("LowFrame", frame)


def _numbered(
    shown: Iterable[av.VideoFrame], timeline: Timeline, key: Key
) -> Iterator[tuple[int, av.VideoFrame]]:
    """The shown frames with their indexes. Those before the key's, which may be broken, get smaller ones."""
    if timeline.is_counted:
        # The key's frame is the first that is a key; at the beginning of the file it is the first of all.
        from_key = dropwhile(lambda p: not p.key_frame and key.stamp != Key.FILE_START, shown)
        yield from enumerate(from_key, start=key.frame_index)
        return
    for picture in shown:
        place = bisect_left(timeline.times, picture.pts) if picture.pts is not None else timeline.frame_count
        if place < timeline.frame_count and timeline.times[place] == picture.pts:
            yield place, picture


def _is_known(timeline: Timeline, index: int, picture: av.VideoFrame, thumbnails: Thumbnails) -> bool:
    """Whether a counted frame is the one that was seen there first: decoders may skip some after seeking."""
    return not timeline.prints or fingerprint(thumbnails.of(picture)) == timeline.prints[index]


def open_stream(container: av.container.InputContainer, source: Source) -> av.VideoStream:
    """The video stream that `source` names, its decoder set up as every pass over the file must have it."""
    stream = container.streams[source.stream_index]
    assert isinstance(stream, av.VideoStream)
    stream.thread_type = ThreadType.AUTO
    stream.thread_count = _THREADS
    stream.codec_context.flags |= Flags.bitexact  # another worker must decode the same samples
    return stream


def read_packets(
    container: av.container.InputContainer, stream: av.VideoStream, damage: Damage
) -> Iterator[Packet]:
    """The stream's packets; a part of the file that cannot be read ends them, as the file's end would."""
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except av.FFmpegError:
        damage.is_cut_short = True


def pictures(
    stream: av.VideoStream, source: Source, packets: Iterable[Packet], damage: Damage
) -> Iterator[av.VideoFrame]:
    """What the codec shows for the packets, in display order; packets it cannot decode are left out.

    Raises UnsupportedMedia when the picture changes its size or pixel format.
    """
    for packet in chain(packets, [None]):  # None drains the decoder
        try:
            shown = stream.decode(packet)
        except av.FFmpegError:
            damage.broken_packets += 1
            continue
        for picture in shown:
            found = (picture.width, picture.height, picture.format.name)
            if found != (source.width, source.height, source.pix_fmt):
                raise UnsupportedMedia(
                    "the picture changes its size or pixel format in mid stream",
                    field="frame_size",
                    value=f"{found[0]}x{found[1]} {found[2]}",
                )
            damage.broken_frames += picture.is_corrupt
            yield picture


def stamp(packet: Packet, clock: Clock) -> int | None:
    """What identifies a packet however one came to it. Matroska's decode times depend on where one starts."""
    return packet.pts if clock == "pts" else packet.dts


def _packets_from(
    container: av.container.InputContainer, stream: av.VideoStream, timeline: Timeline, key: Key
) -> Iterator[Packet]:
    """Packets from the key's on. Seeking may land early, which costs reading, or late: then we step back."""
    if key.stamp == Key.FILE_START:
        return read_packets(container, stream, Damage())
    earlier = [k.stamp for k in timeline.keys if k.stamp < key.stamp]
    for target in (key.stamp, *earlier[-1:], Key.FILE_START):
        packets = dropwhile(
            lambda packet: not _is_at_or_past(packet, key, timeline.clock),
            packets_at(container, stream, target),
        )
        first = next(packets, None)
        if first is not None and stamp(first, timeline.clock) == key.stamp:
            return chain([first], packets)
    return iter(())


def packets_at(
    container: av.container.InputContainer, stream: av.VideoStream, target: int, damage: Damage | None = None
) -> Iterator[Packet]:
    """Packets from about `target` on, from wherever seeking lands; none if it fails."""
    try:
        container.seek(target, stream=stream)
    except av.FFmpegError:
        return iter(())
    return read_packets(container, stream, damage or Damage())


def _is_at_or_past(packet: Packet, key: Key, clock: Clock) -> bool:
    now = stamp(packet, clock)
    return now is not None and (now == key.stamp or (packet.is_keyframe and now > key.stamp))
