"""Whole: what an upload that came in pieces is, once all of it is there."""

from service.api.intake.media import Incoming, Stored
from service.errors import UploadIncomplete
from service.objects.base import NotFound, Storage
from service.uploads import records
from service.uploads.records import Upload, data_key


def examine(storage: Storage, upload: Upload, *, pixels_max: int) -> Stored:
    """Put the bytes in their place and look at them. Reads all of them, so it may take seconds. Blocks.

    Raises UploadIncomplete, UnknownUpload, and what a file may be refused for.
    """
    there = records.offset(storage, upload)
    if there < upload.size_bytes:
        raise UploadIncomplete(
            f"{there} of {upload.size_bytes} bytes are there", field="upload", value=upload.id
        )
    incoming = Incoming(upload.filename, field="upload", bytes_max=upload.size_bytes)
    try:
        records.growing(storage, upload).finish()
        for chunk in storage.open(data_key(upload.id)):
            incoming.take(chunk)
            incoming.flush(None)
    except NotFound as error:  # removed meanwhile
        raise records.unknown_upload(upload.id) from error
    incoming.end()
    return incoming.stored(storage, data_key(upload.id), pixels_max=pixels_max)
