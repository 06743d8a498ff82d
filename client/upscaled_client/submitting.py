"""Submit: from a file to its enlarged one, whatever breaks off on the way, this program included.

What was begun is noted beside the result that it will have (`.NAME.upscaled`) until that is there. Whoever
submits the same again goes on with the job that is noted, and neither sends nor computes anything twice.
"""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import httpx
from pydantic import ValidationError

from upscaled_client.effects import Exchange
from upscaled_client.errors import JobFailed, Refused, ResultDamaged
from upscaled_client.exchanges import Exchanges, OnJob, ignore
from upscaled_client.pieces import OnBytes
from upscaled_client.records import Job, Record


class Note(Record):
    """What was begun: `asked` tells whether it is the same again."""

    asked: dict[str, str]
    key: str  # of the upload
    upload_id: str | None = None  # once a large one was begun
    job_id: str | None = None  # once it was accepted


def new_key() -> str:
    return uuid.uuid4().hex


def begun(target: Path) -> str | None:
    """Id of the job that goes on with or without us, if one was accepted for this result."""
    note = _read(_path(target))
    return None if note is None else note.job_id


def is_sent_in_part(target: Path) -> bool:
    """Whether the server has some of the file, so that the rest will do."""
    note = _read(_path(target))
    return note is not None and note.upload_id is not None


def submit(
    exchanges: Exchanges,
    source: Path | str,
    target: Path,
    options: Mapping[str, object],
    *,
    on_sent: OnBytes = ignore,
    on_job: OnJob = ignore,
) -> Exchange[Job]:
    """The finished job, when its result is in `target`. A source that is text is an address of a file."""
    path = _path(target)
    asked = _asked(exchanges.server, source, options)
    note = _read(path)
    if note is not None and note.asked != asked:
        note = None
    try:
        job = None if note is None or note.job_id is None else (yield from _standing(exchanges, note.job_id))
        if job is None:
            note = note if note is not None and note.job_id is None else Note(asked=asked, key=new_key())
            _write(path, note)

            def begun_with(upload_id: str, begun: Note = note) -> None:
                _write(path, begun.model_copy(update={"upload_id": upload_id}))

            if isinstance(source, str):
                job = yield from exchanges.upload_url(source, options, key=note.key)
            else:
                job = yield from exchanges.upload(
                    source,
                    options,
                    key=note.key,
                    on_sent=on_sent,
                    upload_id=note.upload_id,
                    on_begun=begun_with,
                )
            _write(path, note.model_copy(update={"job_id": job.id}))
        on_job(job)
        if not job.is_over:
            job = yield from exchanges.wait(job.id, on_job)
        yield from exchanges.download(job, target)
    except (Refused, JobFailed, ResultDamaged):
        path.unlink(missing_ok=True)  # going on would only meet the same again
        raise
    path.unlink(missing_ok=True)
    return job


def _standing(exchanges: Exchanges, job_id: str) -> Exchange[Job | None]:
    """The job, if it may still give a result."""
    try:
        job = yield from exchanges.job(job_id)
    except Refused as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        return None
    return None if job.is_over and job.state != "succeeded" else job


def _asked(server: str, source: Path | str, options: Mapping[str, object]) -> dict[str, str]:
    return {
        "server": server,
        **_described(source),
        **{f"option {name}": str(value) for name, value in options.items() if value is not None},
    }


def _described(source: Path | str) -> dict[str, str]:
    if isinstance(source, str):
        return {"source": source}
    seen = source.stat()
    return {
        "source": str(source.resolve()),
        "source_bytes": str(seen.st_size),
        "source_changed_ns": str(seen.st_mtime_ns),
    }


def _path(target: Path) -> Path:
    return target.with_name(f".{target.name}.upscaled")


def _read(path: Path) -> Note | None:
    try:
        return Note.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _write(path: Path, note: Note) -> None:
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with aside.open("x") as file:
            file.write(note.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
