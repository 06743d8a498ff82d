"""Listing: which jobs a caller asks for, and the page of them. Newest first.

An owner's jobs are read from the store's list of those; what else is asked for is looked for in that list.
Ids tell age, so a time is a place in it. Not here: the route (routes/jobs.py).
"""

import re
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from service.api.callers import Caller
from service.formats import MediaKind
from service.jobs.ids import id_bound
from service.jobs.model import Job, Purpose
from service.jobs.states import JobState
from service.jobs.store import JobStore

PAGE_JOBS_MAX: Final = 100
LOOKS_MAX: Final = 20  # into the list, a hundred jobs each, for one page of what is looked for
UPLOAD_S_MAX: Final = 86400.0  # between a job's id, made as its upload begins, and its `created_at`

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_METADATA: Final = "^[A-Za-z0-9_.-]{1,40}:"


def _as_rfc_3339(given: object) -> object:
    if isinstance(given, str) and not _TIME.fullmatch(given):  # pydantic would take a number, too
        raise ValueError("must be a date, a time and a zone, such as 2026-09-21T14:00:00Z")
    return given


Time = Annotated[AwareDatetime, BeforeValidator(_as_rfc_3339)]


class Wanted(BaseModel):
    """The query of `GET /jobs`. Of what is given each must hold; of several states or kinds, one."""

    limit: Annotated[int, Field(ge=1, le=PAGE_JOBS_MAX)] = 20
    cursor: Annotated[str | None, Field(description="`next` of the page before.")] = None
    state: list[JobState] = []
    kind: list[MediaKind] = []
    purpose: Annotated[list[Purpose], Field(description="By default all but estimates.")] = []
    created_after: Annotated[Time | None, Field(description="RFC 3339, such as 2026-09-21T14:00:00Z.")] = None
    created_before: Time | None = None
    metadata: Annotated[
        list[Annotated[str, Field(pattern=_METADATA, max_length=300)]],
        Field(description="`name:text`: jobs whose metadata have just this."),
    ] = []
    owner: Annotated[str | None, Field(description="Id of a key, for admins.")] = None

    def takes(self, job: Job) -> bool:
        noted = (each.partition(":") for each in self.metadata)
        return (
            (not self.state or job.state in self.state)
            and (not self.kind or job.kind in self.kind)
            and (job.purpose in self.purpose if self.purpose else job.purpose != "estimate")
            and (self.created_after is None or job.created_at >= self.created_after.timestamp())
            and (self.created_before is None or job.created_at < self.created_before.timestamp())
            and all(job.handling.metadata.get(name) == text for name, _, text in noted)
        )

    @property
    def begins_before(self) -> str | None:
        """Id that the newest job of the list comes before."""
        if self.created_before is None:
            return self.cursor
        bound = id_bound(self.created_before.timestamp())
        return bound if self.cursor is None else min(bound, self.cursor)

    @property
    def ends_before(self) -> str:
        """All jobs of smaller ids are too old."""
        return "" if self.created_after is None else id_bound(self.created_after.timestamp() - UPLOAD_S_MAX)

    @property
    def batch(self) -> int:
        """How many jobs to read at a time: none too many where all are wanted."""
        asked = (self.state, self.kind, self.purpose, self.created_after, self.created_before, self.metadata)
        return PAGE_JOBS_MAX if any(asked) else self.limit


def page(store: JobStore, caller: Caller, wanted: Wanted) -> tuple[list[Job], str | None]:
    """Jobs and the next page's cursor. What is rare may leave a page short that is not the last."""
    owner = wanted.owner if caller.sees_all else caller.owner
    if owner != (wanted.owner or owner):
        return [], None
    found: list[Job] = []
    cursor = wanted.begins_before
    for _ in range(LOOKS_MAX):
        jobs, cursor = store.list(wanted.batch, cursor, owner=owner)
        for job in jobs:
            if job.id < wanted.ends_before:
                return found, None
            if wanted.takes(job):
                found.append(job)
            if len(found) == wanted.limit:
                return found, job.id if cursor is not None or job is not jobs[-1] else None
        if cursor is None:
            break
    return found, cursor
