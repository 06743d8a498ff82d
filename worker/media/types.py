"""The records that media modules hand to each other and that a job's manifest stores.

Plain values only: no handles, no pixels. Times are integers in a stated time base, or `Fraction` seconds.
`to_json` gives plain dicts and `from_json` checks them: a manifest that lacks something, or has another type
in its place, fails loudly. What earlier versions stored beside is passed over.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, TypeAdapter

from service.auto import Traits
from service.formats import MediaKind

_ADAPTERS: Final[dict[type, TypeAdapter[Any]]] = {}  # building one takes longer than using it


def _adapter(record: type) -> TypeAdapter[Any]:
    if record not in _ADAPTERS:
        _ADAPTERS[record] = TypeAdapter(record)
    return _ADAPTERS[record]


class _Json:
    """Plain dicts out and in, for frozen dataclasses; a `Fraction` travels as the text "1/25"."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        record: Self = _adapter(cls).validate_python(plain)
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one input may cost; checked before anything large is allocated."""

    pixels_max: int  # width times height of one frame
    duration_s_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour(_Json):
    """How samples mean light: the code points of ITU-T H.273, as FFmpeg and every container use them."""

    matrix: int = 2  # 2 everywhere is "unspecified"; colour.py decides what that means
    primaries: int = 2
    transfer: int = 2
    range: int = 0  # FFmpeg's AVColorRange: 0 unspecified, 1 limited, 2 full


# Where in the cell of luma samples that it stands for a chroma sample sits; FFmpeg's names.
ChromaPlace = Literal["left", "center", "topleft", "top"]


CHROMATICITIES = 50_000  # units of a chromaticity of 1, as HEVC and mp4 count
NITS = 10_000  # units of a candela a square metre


Short = Annotated[int, Field(ge=0, lt=1 << 16)]  # what HEVC and mp4 have room for
Long = Annotated[int, Field(ge=0, lt=1 << 32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Light(_Json):
    """How bright the screen was that an HDR video was graded on (ST 2086), and what it shows (CTA-861.3)."""

    # x and y of red, green, blue and white, in CHROMATICITIES
    chromaticities: Annotated[tuple[Short, ...], Field(min_length=8, max_length=8)] | None = None
    luminance: tuple[Long, Long] | None = None  # darkest and brightest of the screen, in NITS
    content: tuple[Short, Short] | None = None  # nits: of the brightest pixel, of the brightest frame


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo(_Json):
    """A stream of the source that is not the picture; `index` is its place in the source file."""

    index: int
    kind: Literal["video", "audio", "subtitle", "data", "attachment", "unknown"]
    codec: str  # FFmpeg's name; "" where FFmpeg knows none
    language: str | None = None
    title: str | None = None
    disposition: int = 0  # FFmpeg's AV_DISPOSITION_* bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter(_Json):
    start_s: Fraction
    end_s: Fraction
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(_Json):
    """What an input says of itself. A picture has `kind` and `container` only: pictures/ reads the rest."""

    kind: MediaKind
    container: str  # "mp4", "mov", "matroska", "webm", "avi"; for a picture "png", "jpeg", ...
    stream_index: int = 0  # of the video stream in the file
    codec: str = ""
    width: int = 0  # of the stored frame, before rotation and pixel aspect
    height: int = 0
    pix_fmt: str = ""
    depth: Annotated[int, Field(ge=8, le=16)] = (
        8  # bits of a sample; frames are uint16 where it has more than eight
    )
    sar: Fraction = Fraction(1)  # width of a sample over its height
    rotation: int = 0  # degrees counter-clockwise a player turns the frame, as `display_matrix` says
    display_matrix: tuple[int, ...] | None = None  # nine numbers, the last of each row 2.30 fixed point
    rate: Fraction | None = None  # average frames a second, where the container knows
    time_base: Fraction = Fraction(1, 1000)  # of the video stream's time stamps, in seconds
    start_s: Fraction = Fraction(0)  # where the container begins, over all streams: a player's zero
    duration_s: float | None = None
    colour: Colour = Colour()
    light: Light | None = None
    chroma_place: ChromaPlace | None = None  # as the file states it; None: by the codec's custom
    audio: tuple[StreamInfo, ...] = ()
    subtitles: tuple[StreamInfo, ...] = ()
    others: tuple[StreamInfo, ...] = ()  # attachments, data, attached pictures, further video streams
    chapters: tuple[Chapter, ...] = ()
    plays: int = 1  # of an animation: how often it is shown in all, 0 for ever
    tags: dict[str, str] | None = None  # of the container: title, artist, creation_time, ...
    notices: tuple[str, ...] = ()  # what the owner should know; each is a sentence

    @property
    def is_deep(self) -> bool:
        """Whether its frames are uint16."""
        return self.depth > 8


@dataclass(frozen=True, slots=True)
class Key(_Json):
    """A place one may seek to: decoding from the packet stamped `stamp` gives frame `frame_index` cleanly."""

    FILE_START: ClassVar[int] = -(1 << 40)  # as a stamp: the first packet of the file, whatever its own

    frame_index: int  # at or below 0 where it stands before the first wanted frame
    stamp: int  # of the key packet, by the clock that `Timeline.clock` names


Parity = Literal["tff", "bff", "auto"]  # which field of a picture is shown first; auto: as it is flagged


@dataclass(frozen=True, slots=True, kw_only=True)
class Deinterlacing(_Json):
    """How whole frames are made of pictures that weave two fields."""

    parity: Parity
    frames_per_picture: Literal[1, 2] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline(_Json):
    """When each frame is shown, where decoding may begin, and where shots start.

    Frames are numbered in display order from the first wanted one, which is 0. They are the pictures that the
    codec gives, or made of those: keys and prints then count pictures.
    """

    time_base: Fraction  # seconds of one unit of `times`
    times: tuple[int, ...]  # strictly rising; when each frame is shown, in the source's own clock
    duration: int  # of the last frame
    keys: tuple[Key, ...]  # rising; the first leads to a frame at or before 0
    cuts: tuple[int, ...] = ()  # frames that start a new shot; 0 is not among them
    clock: Literal["pts", "dts"] = "pts"  # what identifies a packet: AVI keeps decode times only
    is_counted: bool = False  # frames have no good times of their own: they are counted from the key frame
    repeats: tuple[int, ...] = ()  # frames that equal the one before, sample by sample
    prints: tuple[int, ...] = ()  # of counted frames, to check the count by; none where damage changes pixels
    deinterlacing: Deinterlacing | None = None  # None: pictures are frames
    traits: Traits | None = None  # of the frames; None where they show too little
    notices: tuple[str, ...] = ()

    @property
    def frame_count(self) -> int:
        return len(self.times)

    @property
    def picture_count(self) -> int:
        return len(self.times) // (self.deinterlacing.frames_per_picture if self.deinterlacing else 1)
