"""Errors that HTTP itself adds to the tree in service/errors.py: of addresses, headers, forms, protocols."""

from service.errors import CapacityError, InputError


class NotFound(InputError):
    """No such address on this server."""

    code = "not_found"
    http_status = 404


class MethodNotAllowed(InputError):
    """The address exists, the method does not; the Allow header lists those that do."""

    code = "method_not_allowed"
    http_status = 405


class BadRequest(InputError):
    """The request could not be read as HTTP or as multipart/form-data."""

    code = "bad_request"
    http_status = 400


class NotMultipart(InputError):
    """An upload is multipart/form-data with the file in the field `file`."""

    code = "not_multipart"
    http_status = 415


class NotAPiece(InputError):
    """A piece of an upload is sent as application/offset+octet-stream."""

    code = "not_a_piece"
    http_status = 415


class OffsetConflict(InputError):
    """The piece does not begin where the upload's bytes end; HEAD tells where that is."""

    code = "offset_conflict"
    http_status = 409


class OtherProtocol(InputError):
    """Uploads in pieces are spoken of by tus 1.0.0; Tus-Resumable says so."""

    code = "other_protocol"
    http_status = 412


class ChecksumMismatch(InputError):
    """What came is not what Upload-Checksum says; nothing of the piece was kept."""

    code = "checksum_mismatch"
    http_status = 460  # of tus


class RangeNotSatisfiable(InputError):
    """The Range header asks for bytes beyond the end; Content-Range tells the size."""

    code = "range_not_satisfiable"
    http_status = 416

    def __init__(self, size_bytes: int, value: str) -> None:
        super().__init__(
            f"the result has {size_bytes} bytes",
            field="Range",
            value=value,
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )


class ForeignHost(InputError):
    """The server was called by a name that its operator did not give it: another site may be behind it."""

    code = "foreign_host"
    http_status = 403


class ForeignOrigin(InputError):
    """A page of another site sent this through a browser."""

    code = "foreign_origin"
    http_status = 403


class ServerStopping(CapacityError):
    """This process ends before the request was done; another takes its place."""

    code = "server_stopping"
