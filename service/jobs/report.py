"""Report: what a finished job says of how its result came about; here its fields, for the API's schema.

Workers fill it in (worker/job/report.py, assemble.py, picture.py); a job under way has at most `notices`.
Fields that stand not here are passed on too, so that what another version stored stays readable.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

# Not typing's: before Python 3.12 pydantic can't tell from that which keys may be missing.
from typing_extensions import TypedDict


class CopiedReport(TypedDict):
    """A stream of the source that is not the picture, beside its copy in the result."""

    source_index: int
    index: Annotated[int, Field(description="In the result.")]
    kind: Annotated[str, Field(description="Such as audio or subtitle.")]
    codec: Annotated[str, Field(description="FFmpeg's name; empty where it knows none.")]
    packet_count: Annotated[int, Field(description="Of the source.")]
    copy_count: Annotated[int, Field(description="Of the result.")]
    is_same: Annotated[bool, Field(description="Whether every packet is, byte for byte.")]
    sha256: Annotated[str, Field(description="Over the source's packets.")]
    difference_s_max: Annotated[str, Field(description="Largest between two times: a fraction, in seconds.")]


class DroppedReport(TypedDict):
    """A stream or tag of the source that the result does not have."""

    what: str
    why: str


class EstimateReport(TypedDict):
    """What a job would come to."""

    frames: Annotated[int, Field(description="By the container; a plan counts them.")]
    width: Annotated[int, Field(description="Of the result, as it is stored; so is the height.")]
    height: int
    format: Annotated[str, Field(description="Of the result.")]
    codec: Annotated[str | None, Field(description="Of a video.")]
    result_bytes: Annotated[
        int | None, Field(description="By others that were coded the same; null before there were any.")
    ]
    megapixels: Annotated[float, Field(description="Of all frames, as they come in.")]
    seconds: Annotated[
        float | None,
        Field(description="From its turn to its result, by what others took; null before there were any."),
    ]
    wait_s: Annotated[float | None, Field(description="How much longer by the jobs that are there now.")]
    measured_jobs: Annotated[int, Field(description="Of that kind and model, by which this was told.")]


class Report(TypedDict, total=False):
    """What was kept, converted and dropped, by what, and how long it took."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # what another version wrote

    model: str
    version: Annotated[str, Field(description="Of the model.")]
    model_reason: Annotated[str, Field(description="Why `auto` took this model, with what it measured.")]
    strength: Annotated[int, Field(description="How much of what the model made is shown, in percent.")]
    backend: Annotated[str, Field(description="What ran the networks, such as openvino-cpu.")]
    precision: Annotated[str, Field(description="Number format of the networks.")]
    frames_in: int
    frames_out: int
    frames_reused: Annotated[int, Field(description="Of a video: equal to the frame before them.")]
    segments: Annotated[int, Field(description="Pieces the job was cut into.")]
    attempts: Annotated[int, Field(description="How often steps were begun.")]
    input_sha256: str
    result_sha256: str
    result_bytes: int
    seconds_by_stage: Annotated[
        dict[str, float],
        Field(description="Summed over steps that overlap: may exceed `wall_s`."),
    ]
    wall_s: Annotated[float, Field(description="Seconds from the upload to the result.")]
    frames_per_s: float | None
    codec: Annotated[str, Field(description="Of a video.")]
    bit_depth: Annotated[int, Field(description="Of a video or a picture: bits a sample written.")]
    hdr: Annotated[str | None, Field(description="Of a video: PQ or HLG, if it is HDR.")]
    plays: Annotated[int, Field(description="Of an animated picture: how often it is shown, 0 for ever.")]
    transparent: Annotated[bool, Field(description="Of an animated picture.")]
    pixel_aspect: Annotated[str, Field(description="Of a video: a fraction, such as 16/15.")]
    rotation: Annotated[int, Field(description="Of a video: degrees.")]
    colour: Annotated[dict[str, int], Field(description="Of a video: the tags written, by FFmpeg's numbers.")]
    timestamp_difference_s: Annotated[float, Field(description="Of a video: the largest of all frames.")]
    start_s: Annotated[float, Field(description="Of a piece of a video: second of the source it begins at.")]
    copied: Annotated[list[CopiedReport], Field(description="Of a video: streams kept as they were.")]
    dropped: Annotated[list[DroppedReport], Field(description="Of a video: streams and tags.")]
    estimate: Annotated[EstimateReport, Field(description="Of a job that is only looked into.")]
    notices: Annotated[list[str], Field(description="Whatever was converted, assumed or dropped, in words.")]
