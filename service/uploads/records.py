"""Records: what is known of an upload that comes in pieces, beside its bytes in storage.

uploads/<id>/upload.json   this record, written once
uploads/<id>/data          the bytes: growing, then whole
uploads/<id>/piece-<...>   a piece whose checksum is still to be compared

How many bytes are there only the storage says. The id tells when it began. Start reading at `begin`.
"""

import logging
import uuid
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from service.errors import UnknownUpload
from service.jobs.ids import created_at_of, is_job_id, new_job_id
from service.jobs.model import Record
from service.objects.base import NotFound, Storage
from service.objects.growing import Growing

log = logging.getLogger(__name__)

UPLOADS_PREFIX: Final = "uploads/"


class Upload(Record):
    id: str  # of the same form as a job's
    owner: str | None  # as of a job
    size_bytes: int
    filename: str | None
    metadata: str  # as the client sent it, to be told again
    token: str  # by which the storage finds the bytes


def begin(
    storage: Storage, *, owner: str | None, size_bytes: int, filename: str | None, metadata: str, now: float
) -> Upload:
    """Without a byte yet. Dying in between leaves something without a record, which expires as well."""
    upload_id = new_job_id(lambda: now)
    growing = storage.grow(data_key(upload_id))
    upload = Upload(
        id=upload_id,
        owner=owner,
        size_bytes=size_bytes,
        filename=filename,
        metadata=metadata,
        token=growing.token,
    )
    storage.put(_record_key(upload_id), upload.model_dump_json().encode())
    return upload


def load(storage: Storage, upload_id: str) -> Upload:
    """Raises UnknownUpload."""
    if not is_job_id(upload_id):
        raise unknown_upload(upload_id)
    try:
        return Upload.model_validate_json(storage.get(_record_key(upload_id)))
    except NotFound as error:
        raise unknown_upload(upload_id) from error


def growing(storage: Storage, upload: Upload) -> Growing:
    return storage.grow(data_key(upload.id), upload.token)


def offset(storage: Storage, upload: Upload) -> int:
    """Bytes that are there. Raises UnknownUpload when all are gone."""
    try:
        return growing(storage, upload).size()
    except NotFound as error:
        if storage.exists(data_key(upload.id)):
            return upload.size_bytes
        raise unknown_upload(upload.id) from error


def remove(storage: Storage, upload: Upload) -> None:
    """The record first: of what has none nobody can make a job."""
    storage.delete(_record_key(upload.id))
    growing(storage, upload).abandon()
    storage.delete_prefix(f"{UPLOADS_PREFIX}{upload.id}/")


def count(storage: Storage) -> int:
    return sum(1 for _ in _ids(storage))


def expire(storage: Storage, *, now: float, ttl_s: float) -> int:
    """Remove those that are past their time; how many there were. What has no record goes as well."""
    expired = [upload_id for upload_id in _ids(storage) if _began_at(upload_id) + ttl_s <= now]
    for upload_id in expired:
        try:
            remove(storage, load(storage, upload_id))
        except UnknownUpload:
            storage.delete_prefix(f"{UPLOADS_PREFIX}{upload_id}/")
        log.info("upload_expired", extra={"upload": upload_id})
    return len(expired)


def data_key(upload_id: str) -> str:
    return f"{UPLOADS_PREFIX}{upload_id}/data"


def new_piece_key(upload_id: str) -> str:
    return f"{UPLOADS_PREFIX}{upload_id}/piece-{uuid.uuid4().hex}"


def unknown_upload(upload_id: str) -> UnknownUpload:
    return UnknownUpload("There is no such upload.", field="upload", value=upload_id)


def _record_key(upload_id: str) -> str:
    return f"{UPLOADS_PREFIX}{upload_id}/upload.json"


def _ids(storage: Storage) -> Iterator[str]:
    names = storage.list(UPLOADS_PREFIX)
    for upload_id, _ in groupby(names, key=lambda key: key.removeprefix(UPLOADS_PREFIX).split("/")[0]):
        if is_job_id(upload_id):
            yield upload_id


def _began_at(upload_id: str) -> float:
    return created_at_of(upload_id)
