"""Job: what was asked, how far it is, and how it ended. Frozen records; a change makes a copy.

Not here: its id (ids.py), which state may follow which (states.py), who works on what (store.py), how it
is cut (manifest.py). Times are seconds since 1970 (UTC).
"""

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.errors import InvalidOption, UpscaleError
from service.formats import (
    CONTAINERS,
    FORMATS,
    NOT_FOR,
    Codec,
    Deinterlace,
    Format,
    MediaKind,
    Scale,
    Size,
    SizeWanted,
    Strip,
    check_held,
)
from service.jobs.states import TERMINAL, JobEvent, JobState, advance

KEPT_BY_STORE = frozenset(
    {"id", "state", "created_at", "updated_at", "started_at", "planned_at", "finished_at", "frames_done"}
)

# Which field tells when a job was first in that state.
ENTERED_AT = {JobState.PLANNING: "started_at", JobState.RUNNING: "planned_at"} | dict.fromkeys(
    TERMINAL, "finished_at"
)

_FORMER = frozenset({"expires_at"})  # in manifests and stores of earlier versions, and null in all of them

Purpose = Literal["upscale", "sample", "estimate"]

METADATA_NAME = "^[A-Za-z0-9_.-]{1,40}$"

FAULT_MESSAGE = "The service failed on this job; the cause is in its log."


class Record(BaseModel):
    """Base of all stored records: frozen, strict about names, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Options(Record):
    """What the sender may choose. None means: the service chooses, by kind of input.

    API and commands describe and check the options by what stands here and in service/formats.py.
    """

    scale: Scale = Field(default=4, description="2, 3 or 4 times as wide and high; default 4.")
    size: Size | None = Field(
        default=None, description="As large as fits a screen of that name, instead of a scale."
    )
    # Of what a viewer sees: upright, and with square pixels.
    width: int | None = Field(
        default=None, ge=16, le=65_536, description="In pixels, instead of a scale; the height follows."
    )
    height: int | None = Field(
        default=None,
        ge=16,
        le=65_536,
        description="In pixels, instead of a scale; the width follows. With both, as large as fits both.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="A name from GET /models. auto takes the one that suits what the input turns out to be,"
        " and is the default unless the service has another.",
    )
    strength: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="How much of what the model made is shown, in percent; the rest is bicubic interpolation."
        " Default 100, or what auto finds.",
    )
    codec: Codec | None = Field(
        default=None,
        description="Of a video: h264, hevc, av1, prores, for editors, or ffv1, which is lossless."
        " Default h264, or hevc for more than 8 bits a sample, and av1 in webm.",
    )
    # The codec's own scale is the encoder's matter.
    quality: int | None = Field(default=None, ge=1, le=100, description="1 to 100, larger is better.")
    format: Format | None = Field(
        default=None,
        description="Of the result: mp4, mkv, webm or mov for a video; png, jpeg, webp, tiff, bmp or avif for"
        " a picture; gif, webp, png (APNG) or that of a video for an animation.",
    )
    start: float | None = Field(default=None, ge=0, description="Of a video: second to start at.")
    duration: float | None = Field(
        default=None, gt=0, description="Of a video: seconds to upscale from there."
    )
    sample: bool | None = Field(
        default=None,
        description="Of a video: three seconds, from where there is most detail, at once and before others.",
    )
    deinterlace: Deinterlace | None = Field(
        default=None,
        description="Of a video that turns out to be interlaced: auto makes one frame of two fields, fields"
        " makes one of each, off leaves them woven. Default auto.",
    )

    strip: Strip | None = Field(
        default=None,
        description="gps removes from the result where it was taken; the rest of EXIF and tags stays.",
    )

    def check_fit(self, kind: MediaKind, *, what: str | None = None) -> None:
        """Refuse what that kind of input has no use for, rather than ignore it; raises InvalidOption.

        what   the input in words, where it is no single file
        """
        self._check_one_size(kind)
        if self.sample and (self.start, self.duration) != (None, None):
            message = "a sample is taken where there is most detail; leave start and duration out"
            raise InvalidOption(message, field="sample", value=True)
        what = what or {"video": "a video", "image": "a picture", "animation": "an animation"}[kind]
        for name in NOT_FOR[kind]:
            if (value := getattr(self, name)) is not None:
                raise InvalidOption(f"{name} is for videos, this is {what}", field=name, value=value)
        if kind == "animation" and self.codec is not None and self.format not in CONTAINERS:
            message = f"codec is for videos; an animation becomes one by format={' or '.join(CONTAINERS)}"
            raise InvalidOption(message, field="codec", value=self.codec)
        if self.format is None:
            return
        if self.format not in FORMATS[kind]:
            raise InvalidOption(f"{what} can't become {self.format}", field="format", value=self.format)
        if self.codec is not None and self.format in CONTAINERS:
            check_held(self.codec, self.format)

    def _check_one_size(self, kind: MediaKind) -> None:
        sides = {"width": self.width, "height": self.height}
        asked = [name for name in ("size", *sides) if getattr(self, name) is not None]
        if asked and self.scale != type(self).model_fields["scale"].default:
            raise InvalidOption(
                f"scale and {asked[0]} both say how large; send one", field="scale", value=self.scale
            )
        if self.size is not None and len(asked) > 1:
            raise InvalidOption(
                f"size and {asked[1]} both say how large; send one", field="size", value=self.size
            )
        for name, pixels in sides.items():
            if kind == "video" and pixels is not None and pixels % 2:
                message = f"a video's {name} must be even, {pixels} is not"
                raise InvalidOption(message, field=name, value=pixels)

    @property
    def size_wanted(self) -> SizeWanted:
        return SizeWanted(scale=self.scale, size=self.size, width=self.width, height=self.height)

    @property
    def label(self) -> str:
        """How large, in few characters, for the name of a result."""
        if self.size is not None:
            return self.size
        sides = "".join(
            f"{side}{pixels}" for side, pixels in (("w", self.width), ("h", self.height)) if pixels
        )
        return sides or f"x{self.scale}"


class Handling(Record):
    """What the sender may say about the job that does not change the result."""

    metadata: dict[Annotated[str, Field(pattern=METADATA_NAME)], Annotated[str, Field(max_length=256)]] = (
        Field(
            default={},
            max_length=16,
            json_schema_extra={"additionalProperties": False},  # only such names
            description="Texts by name, up to 16, for the sender's own use: shown with the job, and jobs are "
            "found by them.",
        )
    )
    ttl: float | None = Field(
        default=None,
        gt=0,
        description="Seconds that the result is kept, where that is shorter than the service's own time.",
    )
    webhook: str | None = Field(
        default=None,
        pattern="^https?://",
        max_length=2000,
        description="Address that is told, by a signed POST, of the job's end and of its result's removal.",
    )


class JobError(Record):
    """Why a job failed, in words for its owner; `code` is the stable name that service/errors.py lists."""

    code: str
    message: str
    field: str | None = None
    value: str | int | float | None = None

    @classmethod
    def from_exception(cls, error: BaseException) -> Self:
        """Public errors speak for themselves; of all others the owner sees a fixed text."""
        if not isinstance(error, UpscaleError):
            return cls(code=UpscaleError.code, message=FAULT_MESSAGE)
        if not error.public:
            return cls(code=error.code, message=FAULT_MESSAGE)
        value = error.value
        if value is not None and not isinstance(value, str | int | float):
            value = str(value)
        return cls(code=error.code, message=str(error), field=error.field, value=value)


class Job(Record):
    id: str
    state: JobState = JobState.QUEUED
    options: Options = Options()
    kind: MediaKind  # by the upload's signature
    filename: str  # as the sender named it; shown, never used as a path
    size_bytes: int
    sha256: str  # of the upload, hexadecimal
    owner: str | None = None  # id of the key that made it; None where the service asks for no keys
    handling: Handling = Handling()
    is_estimate: bool = False  # only looked into: it has a report and no result
    traceparent: str | None = None  # of the request that made it, where that was traced (W3C Trace Context)
    created_at: float
    updated_at: float
    started_at: float | None = None  # when a worker first looked into it
    planned_at: float | None = None  # when its frames could first be upscaled
    finished_at: float | None = None  # when it ended; an end by a former version has none
    frames_done: int = 0  # only grows
    frames_total: int | None = None  # known after planning
    megapixels: float | None = None  # of all these frames, as they came in
    model: str | None = None  # pinned by the plan
    version: str | None = None
    error: JobError | None = None  # set when failed
    report: dict[str, Any] | None = None  # the conformance report, set when succeeded
    result_key: str | None = None  # set when succeeded

    @model_validator(mode="before")
    @classmethod
    def _pass_over_former_fields(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if k not in _FORMER} if isinstance(given, dict) else given

    @property
    def purpose(self) -> Purpose:
        if self.is_estimate:
            return "estimate"
        return "sample" if self.options.sample else "upscale"

    def with_changes(self, **changes: Any) -> Self:
        """A checked copy. What the store keeps itself (identity, state, progress) can't be set this way."""
        assert not changes.keys() & KEPT_BY_STORE, f"not for callers: {changes.keys() & KEPT_BY_STORE}"
        return type(self).model_validate({**dict(self), **changes})

    def after(self, event: JobEvent, *, at: float, **changes: Any) -> Self:
        """As it is once the event has moved it, with other fields set; raises IllegalTransition."""
        return self.with_changes(**changes).moved(advance(self.state, event), at=at)

    def moved(self, state: JobState, *, at: float) -> Self:
        """As it is from then on; of what can happen more than once the first time is kept."""
        entered = ENTERED_AT.get(state)
        first = {entered: at} if entered is not None and getattr(self, entered) is None else {}
        return self.model_copy(update={"state": state, "updated_at": at, **first})

    def request_digest(self) -> str:
        """The same for two uploads that ask for the same thing: equal bytes, options and handling."""
        text = f"{self.sha256} {self.options.model_dump_json()}"
        if self.handling != Handling():  # digests of jobs without any are kept by stores of earlier versions
            text += f" {self.handling.model_dump_json()}"
        if self.is_estimate:
            text += " estimate"
        return hashlib.sha256(text.encode()).hexdigest()
