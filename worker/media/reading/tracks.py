"""The streams beside the picture: which of them a container holds, and their packets with new times.

Packets are copied, never decoded. Not here: the picture's own packets and writing files (writing/stamps.py,
writing/join.py). Start at `choose_container` and `sort_streams`.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import av
import av.container
from av.stream import Stream

from service.formats import CODEC_DEFAULT, HOLDS, Codec, Container, check_held
from worker.media.types import Source, StreamInfo

Packet: TypeAlias = "av.Packet[Any]"  # generic in PyAV's stubs only

# What each holds and players play from it. FFmpeg would also write PCM into mp4; hardly anything plays it.
_PCM = frozenset(
    f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")
)
_HELD: dict[Container, dict[str, frozenset[str]]] = {
    "mp4": {
        "audio": frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"}),
        "subtitle": frozenset({"mov_text"}),
    },
    "mov": {
        "audio": frozenset({"aac", "mp3", "ac3", "eac3", "alac"}) | _PCM,
        "subtitle": frozenset({"mov_text"}),
    },
    "webm": {"audio": frozenset({"opus", "vorbis"}), "subtitle": frozenset({"webvtt"})},
}
_MKV_REFUSES = frozenset({"mov_text"})  # it has a text format of its own
_PLACE = re.compile("location|gps|xyz", re.IGNORECASE)  # in names of tags
_COARSE_S = Fraction(1, 1000)  # Matroska's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A stream or tag of the source that the result does not have."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the source that is kept, in seconds of its own clock, and how far its packets move."""

    start_s: Fraction | None = None  # None: from the beginning
    end_s: Fraction | None = None
    shift_s: Fraction = Fraction(0)

    def holds(self, packet: Packet) -> bool:
        """Whether any of the packet is heard or shown inside."""
        if self.start_s is None or self.end_s is None:
            return True
        start_s = time_of(packet) * packet.time_base
        return start_s < self.end_s and start_s + (packet.duration or 1) * packet.time_base > self.start_s


def choose_container(
    source: Source, wanted: Container | None = None, *, codec: Codec = CODEC_DEFAULT
) -> tuple[Container, tuple[str, ...]]:
    """The container of the result, and why it is not mp4 or what it will lose.

    The first that holds the codec (mp4, mov for ProRes), unless it cannot hold everything; a wanted container
    is taken at its word.
    Raises InvalidOption for one that is not written with the codec.
    """
    if wanted is not None:
        check_held(codec, wanted)
        return wanted, tuple(
            f"{lost.what} is dropped: {lost.why}" for lost in sort_streams(source, wanted)[1]
        )
    first = next(container for container in HOLDS if codec in HOLDS[container])
    lost = [info for info in (*source.audio, *source.subtitles) if not _fits(info, first)]
    if lost:
        return "mkv", tuple(f"mkv because {first} holds no {info.codec} {info.kind}" for info in lost)
    return first, () if first == "mp4" else (f"{first} because mp4 holds no {codec.upper()}",)


def sort_streams(source: Source, container: Container) -> tuple[tuple[StreamInfo, ...], tuple[Dropped, ...]]:
    """The streams to copy, in the source's order, and those that the container can't hold."""
    kept, dropped = [], []
    others = [*source.audio, *source.subtitles, *source.others]
    for info in sorted(others, key=lambda info: info.index):
        if _fits(info, container):
            kept.append(info)
        elif not (
            info.kind == "data" and source.chapters
        ):  # mp4 keeps chapters in such a track; we write our own
            what = f"{info.kind} stream {info.index}" + (f" ({info.codec})" if info.codec else "")
            dropped.append(Dropped(what=what, why=_why(info, container)))
    return tuple(kept), tuple(dropped)


def without_place(tags: Mapping[str, str] | None) -> dict[str, str]:
    """A file's tags but those that tell where it was filmed, whatever phones and cameras call them."""
    return {key: value for key, value in (tags or {}).items() if not _PLACE.search(key)}


def info_name(info: StreamInfo) -> str:
    """A stream as reports name it."""
    return f"{info.kind} stream {info.index}" + (f" ({info.codec})" if info.codec else "")


def _fits(info: StreamInfo, container: Container) -> bool:
    if info.kind == "attachment":
        return container == "mkv"
    if info.kind not in ("audio", "subtitle") or not info.codec:
        return False
    if container == "mkv":
        return info.codec not in _MKV_REFUSES
    return info.codec in _HELD[container][info.kind]


def _why(info: StreamInfo, container: Container) -> str:
    if info.kind == "video":
        return "only the main video is kept"
    if info.kind in ("audio", "subtitle") and not info.codec:
        return "its codec is unknown"
    return f"{container} holds no such {info.kind}"


class Copier:
    """Gives the packets of one copied stream their times in the output.

    Sound from a millisecond clock is laid end to end by its sample counts wherever the clock agrees, because
    players of mp4 hear the rounding as clicks.
    """

    def __init__(self, source: Stream, target: Stream, *, window: Window) -> None:
        assert source.time_base is not None
        assert target.time_base is not None  # known once the header is written
        self._target = target
        self._base = target.time_base
        self._shift_s = window.shift_s
        self._is_text = source.type == "subtitle"
        is_coarse = source.type == "audio" and source.time_base >= _COARSE_S > self._base
        self._frame_samples = _frame_samples(source) if is_coarse else None
        self._expected: int | None = None
        self._last_dts: int | None = None
        self._step = 1 if self._base < _COARSE_S else 0  # packets may share a tick of a coarse clock
        self.moved_count = 0  # packets whose times had to be changed to make them rise

    def stamp(self, packet: Packet) -> Packet:
        """The packet, ready to mux."""
        base = packet.time_base
        pts = self._rescaled(time_of(packet) * base + self._shift_s)
        dts = pts if packet.dts is None else self._rescaled(packet.dts * base + self._shift_s)
        duration = round((packet.duration or 0) * base / self._base)
        if self._is_text and pts < 0:  # it was on screen before the first kept frame
            duration, pts, dts = max(duration + pts, 1), 0, 0
        if self._frame_samples is not None:
            pts = dts = self._smoothed(pts, packet)
            duration = self._samples(packet)
            self._expected = pts + duration
        if self._last_dts is not None and dts < (earliest := self._last_dts + self._step):
            dts = earliest
            self.moved_count += 1
        self._last_dts = dts
        packet.stream = self._target
        packet.time_base = self._base
        packet.pts, packet.dts, packet.duration = max(pts, dts), dts, duration
        return packet

    def _rescaled(self, time_s: Fraction) -> int:
        return round(time_s / self._base)

    def _samples(self, packet: Packet) -> int:
        """Samples of the packet in the output's clock; exact where the codec fixes them."""
        return self._frame_samples or round((packet.duration or 0) * packet.time_base / self._base)

    def _smoothed(self, pts: int, packet: Packet) -> int:
        tolerance = round(_COARSE_S / self._base) + 1
        expected = self._expected
        if expected is None and packet.has_sidedata("skip_samples"):
            # The encoder's delay in samples, which the clock rounded.
            expected = -struct.unpack_from("<I", bytes(packet.get_sidedata("skip_samples")))[0]
        return expected if expected is not None and abs(expected - pts) <= tolerance else pts


def _frame_samples(source: Stream) -> int | None:
    """Samples in each packet; 0 where they vary but fill whole milliseconds; None where nothing is known."""
    context: Any = source.codec_context
    if context.codec.canonical_name == "opus":
        return 0
    return context.frame_size or None


def packets(
    container: av.container.InputContainer, streams: Sequence[Stream], window: Window
) -> Iterator[Packet]:
    """The packets of the given streams that carry anything, in the file's order.

    A part of the file that cannot be read ends them, as it ends the picture (decode.py).
    """
    # No seeking to the window: a file need not be interleaved, and what a seek skips would be lost silently.
    try:
        for packet in container.demux(streams):
            if (packet.pts is None and packet.dts is None) or not window.holds(packet):
                continue
            # Empty text fills the gaps between subtitles in mp4; the muxer makes its own.
            if packet.stream.type == "subtitle" and packet.size <= 2:
                continue
            yield packet
    except av.FFmpegError:
        return


def find_empty(
    container: av.container.InputContainer, streams: Sequence[Stream], window: Window
) -> frozenset[int]:
    """The streams without a packet inside: mp4 leaves such a track out, so it must not be announced."""
    missing = {stream.index for stream in streams if stream.type != "attachment"}
    wanted = [stream for stream in streams if stream.index in missing]
    for packet in packets(container, wanted, window) if wanted else ():
        missing.discard(packet.stream.index)
        if not missing:
            break
    return frozenset(missing)


def time_of(packet: Packet) -> int:
    """When the packet is shown or heard, in its own base."""
    time = packet.dts if packet.pts is None else packet.pts
    assert time is not None
    return time
