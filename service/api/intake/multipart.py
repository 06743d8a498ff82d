"""Multipart: bytes of a multipart/form-data body in, events out. No I/O, and nothing held but one header.

`python-multipart` does the parsing; `FormReader` turns its callbacks into a list of events, so that the
caller can await between them. A body may be cut into chunks anywhere: the events say the same.
"""

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.api.problems.errors import BadRequest, NotMultipart
from service.errors import UploadTruncated


@dataclass(frozen=True, slots=True)
class PartStart:
    """A part begins; `filename` is None for a plain field."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    pass


Event = PartStart | PartData | PartEnd


class FormReader:
    """feed(chunk) -> events; finish() raises UploadTruncated unless the closing boundary came."""

    def __init__(self, content_type: str) -> None:
        kind, parameters = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise NotMultipart(
                "send the file as multipart/form-data, in the field `file`",
                field="Content-Type",
                value=content_type or None,
            )
        boundary = parameters.get(b"boundary")
        if not boundary:
            raise BadRequest("Content-Type has no boundary", field="Content-Type", value=content_type)
        self._events: list[Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise BadRequest(str(error), field="Content-Type", value=content_type) from error

    def feed(self, chunk: bytes) -> list[Event]:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest(f"the multipart body is malformed: {error}") from error
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        if not self._ended:
            raise UploadTruncated("the body ended before its closing boundary", field="file")

    def _on_part_begin(self) -> None:
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        name = parameters.get(b"name")
        if name is None:
            raise BadRequest("a part has no name in its Content-Disposition", field="Content-Disposition")
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").lower()
        if encoding not in {b"binary", b"8bit", b"7bit"}:
            # Deprecated by RFC 7578; storing the encoded text as if it were the file would be silently wrong.
            raise BadRequest("a part is encoded", field="Content-Transfer-Encoding", value=_text(encoding))
        filename = parameters.get(b"filename")
        self._events.append(PartStart(_text(name), None if filename is None else _text(filename)))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _on_part_end(self) -> None:
        self._events.append(PartEnd())

    def _on_end(self) -> None:
        self._ended = True


def _text(value: bytes) -> str:
    """Browsers and curl send UTF-8; whatever is not is shown as latin-1 rather than refused."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
