"""GET and HEAD of a job's result and its upload: whole or a range (RFC 9110), so that a download can go on.

Where clients reach the storage themselves they are sent there, and the bytes never pass through this process.
"""

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from service.api.callers import Caller, UsedCaller
from service.api.conditions import names
from service.api.dependencies import Services, UsedServices, in_thread
from service.api.openapi import BINARY
from service.api.problems.answering import problem_responses
from service.api.problems.errors import RangeNotSatisfiable
from service.api.routes.jobs import find
from service.errors import JobNotFinished, ResultExpired
from service.formats import FORMATS, media_type_of, suffix_of
from service.jobs import keys
from service.jobs.states import JobState
from service.objects.base import NotFound

router = APIRouter(tags=["jobs"])

LINK_LIFE_S = 900  # to begin a download in, not to end it; a later one asks us again
_CONTENT = {media_type_of(suffix_of(each)): BINARY for formats in FORMATS.values() for each in formats}
_CONTENT |= {media_type_of(""): BINARY}  # an upload may have any name
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")  # an object of 19 digits is none of ours


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file.", "content": _CONTENT},
    206: {"description": "The range that was asked for.", "content": _CONTENT},
    307: {"description": "The file is at Location, an address that holds for some minutes."},
    304: {"description": "Unchanged since the ETag in If-None-Match."},
}


@router.get(
    "/jobs/{job_id}/result",
    summary="Download the result",
    response_class=StreamingResponse,
    responses={**_ANSWERS, **problem_responses(404, 409, 410, 416, 503)},
)
@router.head("/jobs/{job_id}/result", include_in_schema=False)
async def get_result(job_id: str, request: Request, services: UsedServices, caller: UsedCaller) -> Response:
    return await _send(request, services, await in_thread(_result, services, caller, job_id))


@router.get(
    "/jobs/{job_id}/input",
    summary="Download what was uploaded",
    response_class=StreamingResponse,
    responses={**_ANSWERS, **problem_responses(404, 410, 416, 503)},
)
@router.head("/jobs/{job_id}/input", include_in_schema=False)
async def get_input(job_id: str, request: Request, services: UsedServices, caller: UsedCaller) -> Response:
    """It stays as long as the result, to be compared with it."""
    return await _send(request, services, await in_thread(_input, services, caller, job_id))


@dataclass(frozen=True, slots=True)
class _File:
    """An object that never changes; `name` is what it is saved under."""

    key: str
    size_bytes: int
    name: str
    etag: str


async def _send(request: Request, services: Services, file: _File) -> Response:
    media_type, disposition = media_type_of(PurePath(file.name).suffix.lower()), _disposition(file.name)
    headers = {
        "ETag": file.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600, immutable",
        "Content-Disposition": disposition,
        "Content-Type": media_type,
        # What we made from a stranger's file must never run as a page of ours.
        "X-Content-Type-Options": "nosniff",
    }
    if names(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    link = await in_thread(
        services.storage.link,
        file.key,
        method="HEAD" if request.method == "HEAD" else "GET",
        life_s=LINK_LIFE_S,
        media_type=media_type,
        disposition=disposition,
    )
    if link is not None:  # whoever has the address has the file, so nobody may keep it
        return RedirectResponse(link, status_code=307, headers={"Cache-Control": "no-store"})
    wanted = None
    if request.headers.get("if-range", file.etag) == file.etag:
        wanted = _range(request.headers.get("range", ""), file.size_bytes)
    start, stop = wanted or (0, file.size_bytes)
    headers["Content-Length"] = str(stop - start)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size_bytes}"
    status = 200 if wanted is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    chunks = await in_thread(services.storage.open, file.key, start, stop)
    return StreamingResponse(chunks, status_code=status, headers=headers)


def _result(services: Services, caller: Caller, job_id: str) -> _File:
    """Raises what fits when there is none."""
    job = find(services, caller, job_id)
    expired = ResultExpired("the result was removed", field="id", value=job_id)
    if job.state is JobState.EXPIRED:
        raise expired
    if job.state is not JobState.SUCCEEDED or job.result_key is None:
        reason = f": {job.error.message}" if job.error else ""
        raise JobNotFinished(f"the job is {job.state.value}{reason}", field="state", value=job.state.value)
    suffix = PurePath(job.result_key).suffix
    try:
        return _File(
            key=job.result_key,
            size_bytes=services.storage.stat(job.result_key),
            name=f"{PurePath(job.filename).stem or 'upload'}_{job.options.label}{suffix}",
            etag=f'"{job.id}"',  # a job has one result
        )
    except NotFound as gone:  # between its removal and the note of it
        raise expired from gone


def _input(services: Services, caller: Caller, job_id: str) -> _File:
    job = find(services, caller, job_id)
    key = keys.input_key(job.id)
    try:
        return _File(key, services.storage.stat(key), name=job.filename or "upload", etag=f'"{job.sha256}"')
    except NotFound as gone:
        raise ResultExpired("the upload was removed", field="id", value=job_id) from gone


def _range(header: str, size_bytes: int) -> tuple[int, int] | None:
    """[start, stop) of a single range; None to send all, as RFC 9110 allows for what we don't do."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1 if last else size_bytes, size_bytes)
        if last and int(last) < int(first):
            return None
    else:  # the last so many bytes
        start, stop = max(0, size_bytes - int(last)), size_bytes
    if start >= stop:
        raise RangeNotSatisfiable(size_bytes, header)
    return start, stop


def _disposition(name: str) -> str:
    """In both spellings of RFC 6266."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
