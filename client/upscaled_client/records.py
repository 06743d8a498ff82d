"""What the server says, as records. Fields that a newer server adds are passed over."""

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

OVER: Final = frozenset({"succeeded", "failed", "cancelled", "expired"})


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Progress(Record):
    frames_done: int
    frames_total: int | None = None  # None until the file has been looked into
    ratio: float | None = None  # from 0 to 1
    frames_per_s: float | None = None
    remaining_s: float | None = None  # until all frames are done, if it goes on as so far


class JobError(Record):
    """Why a job failed; `code` is stable, so programs may compare it."""

    code: str
    message: str
    field: str | None = None
    value: str | int | float | None = None


class Links(Record):
    """Paths on the server."""

    self: str
    events: str
    preview: str | None = None  # once a frame is finished
    result: str | None = None  # once there is a result
    webhooks: str | None = None  # what the job's webhook was told


class Job(Record):
    id: str
    state: str  # queued, planning, running or assembling; or one of OVER
    kind: str  # video, image or animation
    purpose: str = "upscale"  # or sample, or estimate
    options: dict[str, Any]
    filename: str
    size_bytes: int
    sha256: str  # of the upload
    created_at: float  # seconds since 1970, UTC
    updated_at: float
    started_at: float | None = None
    finished_at: float | None = None
    queue_position: int | None = None  # jobs before it that are not begun either
    expires_at: float | None = None  # when the result goes, or the record of a job that has none
    metadata: dict[str, str] = {}
    webhook: str | None = None
    progress: Progress
    model: str | None = None
    version: str | None = None
    error: JobError | None = None
    report: dict[str, Any] | None = None  # what was kept, converted and dropped
    links: Links

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it but the removal of its result."""
        return self.state in OVER


class Wanted(Record):
    """Which jobs to list; what is left out does not matter."""

    state: tuple[str, ...] = ()  # one of these
    kind: tuple[str, ...] = ()
    created_after: datetime | None = None  # with its time zone
    created_before: datetime | None = None
    metadata: dict[str, str] = {}  # all of these

    @property
    def query(self) -> dict[str, Any]:
        return {
            "state": list(self.state),
            "kind": list(self.kind),
            "created_after": self.created_after and self.created_after.isoformat(),
            "created_before": self.created_before and self.created_before.isoformat(),
            "metadata": [f"{name}:{text}" for name, text in self.metadata.items()],
        }


class JobPage(Record):
    jobs: tuple[Job, ...]
    next: str | None  # cursor of the following page


class Model(Record):
    name: str
    version: str | None = None  # what new jobs get
    summary: str | None = None
    default_for: tuple[str, ...] = ()  # kinds of upload
    card: dict[str, Any]  # what it was trained on and how it measured


class ModelList(Record):
    models: tuple[Model, ...]
