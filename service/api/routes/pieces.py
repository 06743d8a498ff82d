"""/uploads: a file in pieces, by tus 1.0 (https://tus.io/protocols/resumable-upload), so a cut costs little.

Creation, offset, checksum, expiration, termination. An upload that is complete becomes jobs by
`POST /upscale` with `upload=`. Not here: where the bytes lie (service/uploads), what a piece passes on its
way (intake/pieces.py). Start reading at `create_upload`.
"""

import base64
import binascii
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from service.api.accepting import refuse_when_full
from service.api.callers import Caller, UsedCaller
from service.api.dependencies import Services, UsedRoot, UsedServices, in_thread
from service.api.intake import pieces
from service.api.intake.media import plain_name, too_large
from service.api.intake.pieces import ALGORITHMS, Checksum
from service.api.problems.answering import problem_responses
from service.api.problems.errors import BadRequest, NotAPiece, OffsetConflict, OtherProtocol
from service.errors import TooManyUploads, UpscaleError
from service.jobs.ids import created_at_of
from service.uploads import records
from service.uploads.records import Upload

VERSION: Final = "1.0.0"
PIECE: Final = "application/offset+octet-stream"
METADATA_CHARS_MAX: Final = 4096
NUMBER_DIGITS_MAX: Final = 18


class _Tus(APIRoute):
    """Every answer says which protocol it is of."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def tus(request: Request) -> Response:
            try:
                answer = await handle(request)
            except UpscaleError as error:
                error.headers = {**(error.headers or {}), "Tus-Resumable": VERSION}
                raise
            answer.headers["Tus-Resumable"] = VERSION
            return answer

        return tus


async def _require_version(request: Request) -> None:
    spoken = request.headers.get("tus-resumable")
    if spoken != VERSION and request.method != "OPTIONS":
        raise OtherProtocol(
            f"send Tus-Resumable: {VERSION}",
            field="Tus-Resumable",
            value=spoken,
            headers={"Tus-Version": VERSION},
        )


router = APIRouter(tags=["uploads"], route_class=_Tus, dependencies=[Depends(_require_version)])


def _header(name: str, schema: dict[str, Any], description: str, *, required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "schema": schema, "description": description}


_NUMBER: Final = {"type": "integer", "minimum": 0}
_RESUMABLE: Final = _header(
    "Tus-Resumable", {"type": "string", "enum": [VERSION]}, "The version of the protocol."
)
_ID: Final = {
    "name": "upload_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "The last part of the Location that the upload was created with.",
}
_TOLD: Final = {"schema": {"type": "string"}}


def _told(*names: str) -> dict[str, Any]:
    """Headers of an answer, for OpenAPI."""
    return {"headers": dict.fromkeys(("Tus-Resumable", *names), _TOLD)}


@router.options(
    "/uploads",
    status_code=204,
    summary="Tell what of tus is spoken",
    responses={
        204: _told("Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"),
    },
)
async def discover_uploads(services: UsedServices) -> Response:
    """The only request of this protocol that needs no Tus-Resumable."""
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": "creation,checksum,expiration,termination",
        "Tus-Max-Size": str(services.settings.upload_bytes_max),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    "/uploads",
    status_code=201,
    response_class=Response,  # nothing, of no type
    summary="Begin an upload that comes in pieces",
    openapi_extra={
        "parameters": [
            _RESUMABLE,
            _header("Upload-Length", _NUMBER, "Bytes of the whole file."),
            _header(
                "Upload-Metadata",
                {"type": "string", "maxLength": METADATA_CHARS_MAX, "pattern": "^filename [A-Za-z0-9+/]{4}$"},
                "Names, each with a value in base64, separated by commas; `filename` is the file's.",
                required=False,
            ),
        ]
    },
    responses={201: _told("Location", "Upload-Expires"), **problem_responses(400, 412, 413, 503, 507)},
)
async def create_upload(
    request: Request, services: UsedServices, caller: UsedCaller, root: UsedRoot
) -> Response:
    """Location is where its bytes go by PATCH, and its last part is what `upload=` of `POST /upscale` takes.

    Until Upload-Expires it can be gone on with, and jobs be made of it.
    """
    size_bytes = _number(request, "Upload-Length")
    metadata = request.headers.get("upload-metadata", "")
    filename = _filename(metadata)
    if size_bytes > services.settings.upload_bytes_max:
        raise too_large(services.settings.upload_bytes_max)
    upload = await in_thread(_begin, services, caller, size_bytes, filename, metadata)
    headers = {"Location": f"{root}/uploads/{upload.id}", **_expiry(services, upload)}
    return Response(status_code=201, headers=headers)


def _begin(
    services: Services, caller: Caller, size_bytes: int, filename: str | None, metadata: str
) -> Upload:
    refuse_when_full(services, size_bytes)
    kept = records.count(services.storage)
    if kept >= services.settings.queue_max:
        raise TooManyUploads(f"{kept} uploads are half-finished or not used yet; try again later", value=kept)
    upload = records.begin(
        services.storage,
        owner=caller.owner,
        size_bytes=size_bytes,
        filename=filename,
        metadata=metadata,
        now=services.store.now(),
    )
    if caller.owner is not None:
        try:
            services.store.take_in(upload.id, caller.owner, caller.quota, size_bytes)
        except UpscaleError:
            records.remove(services.storage, upload)
            raise
    return upload


@router.head(
    "/uploads/{upload_id}",
    response_class=Response,
    summary="Tell how much of an upload is there",
    openapi_extra={"parameters": [_RESUMABLE, _ID]},
    responses={
        200: _told("Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires", "Cache-Control"),
        **problem_responses(404, 412, 503),
    },
)
async def find_upload(
    upload_id: str, request: Request, services: UsedServices, caller: UsedCaller
) -> Response:
    """Upload-Offset is where to go on."""
    upload = await in_thread(find, services, caller, upload_id)
    offset = await in_thread(records.offset, services.storage, upload)
    headers = {
        "Upload-Offset": str(offset),
        "Upload-Length": str(upload.size_bytes),
        "Cache-Control": "no-store",
        **_expiry(services, upload),
    }
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    return Response(status_code=200, headers=headers)


@router.patch(
    "/uploads/{upload_id}",
    status_code=204,
    summary="Send the next piece of an upload",
    openapi_extra={
        "parameters": [
            _RESUMABLE,
            _ID,
            _header("Upload-Offset", _NUMBER, "Bytes that are there already; the piece begins after them."),
            _header(
                "Upload-Checksum",
                {"type": "string", "pattern": "^(sha1|sha256) [A-Za-z0-9+/]+=*$"},
                "Name of an algorithm, and the digest of the piece in base64.",
                required=False,
            ),
        ],
        "requestBody": {
            "required": True,
            "content": {PIECE: {"schema": {"type": "string", "format": "binary"}}},
        },
    },
    responses={
        204: _told("Upload-Offset", "Upload-Expires"),
        **problem_responses(400, 404, 409, 412, 413, 415, 422, 503, 507),
        **pieces.MISMATCH_RESPONSE,
    },
)
async def continue_upload(
    upload_id: str, request: Request, services: UsedServices, caller: UsedCaller
) -> Response:
    """What came before a cut is kept: HEAD tells where to go on. With a checksum all of it is, or none."""
    media_type = request.headers.get("content-type", "")
    if media_type != PIECE:
        raise NotAPiece(f"a piece is sent as {PIECE}", field="Content-Type", value=media_type or None)
    offset = _number(request, "Upload-Offset")
    services.uploads.require_one()
    with services.uploads.one():
        upload = await in_thread(find, services, caller, upload_id)
        checksum = Checksum.read(request.headers.get("upload-checksum"))
        there = await in_thread(records.offset, services.storage, upload)
        if offset != there:
            raise OffsetConflict(
                f"{there} bytes are there; go on after them", field="Upload-Offset", value=offset
            )
        declared = request.headers.get("content-length", "0")
        pieces.refuse_too_long(upload, offset + (int(declared) if declared.isdecimal() else 0))
        offset = await pieces.receive(request.stream(), services.storage, upload, offset, checksum)
    headers = {"Upload-Offset": str(offset), **_expiry(services, upload)}
    return Response(status_code=204, headers=headers)


@router.delete(
    "/uploads/{upload_id}",
    status_code=204,
    summary="Remove an upload",
    openapi_extra={"parameters": [_RESUMABLE, _ID]},
    responses={204: _told(), **problem_responses(404, 412, 503)},
)
async def delete_upload(
    upload_id: str, request: Request, services: UsedServices, caller: UsedCaller
) -> Response:
    """Jobs that were made of it keep their own copy."""
    upload = await in_thread(find, services, caller, upload_id)
    await in_thread(records.remove, services.storage, upload)
    return Response(status_code=204)


def find(services: Services, caller: Caller, upload_id: str) -> Upload:
    """Raises UnknownUpload, also for another's and for one that is past its time."""
    upload = records.load(services.storage, upload_id)
    if not caller.may_reach(upload.owner) or _expires_at(services, upload) <= services.store.now():
        raise records.unknown_upload(upload_id)
    return upload


def _expires_at(services: Services, upload: Upload) -> float:
    return created_at_of(upload.id) + services.settings.upload_ttl_s


def _expiry(services: Services, upload: Upload) -> dict[str, str]:
    return {"Upload-Expires": formatdate(_expires_at(services, upload), usegmt=True)}


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS_MAX):
        raise BadRequest(f"{name} must be a number of bytes", field=name, value=text or None)
    return int(text)


def _filename(metadata: str) -> str | None:
    """What the file is called; raises BadRequest for what is no metadata."""
    if len(metadata) > METADATA_CHARS_MAX:
        raise BadRequest("this is too much", field="Upload-Metadata", value=metadata)
    found: dict[str, str] = {}
    try:
        for pair in filter(None, map(str.strip, metadata.split(","))):
            key, _, value = pair.partition(" ")
            found[key] = base64.b64decode(value, validate=True).decode("utf-8", "replace")
    except binascii.Error as error:
        raise BadRequest("a value is no base64", field="Upload-Metadata", value=metadata) from error
    name = found.get("filename") or found.get("name")
    return plain_name(name) if name else None
