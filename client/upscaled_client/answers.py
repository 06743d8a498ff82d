"""Answers: what the server said, as records, events or errors. Not here: what it was asked (exchanges.py)."""

from collections.abc import Iterator
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from upscaled_client.errors import Refused, UpscaledError
from upscaled_client.records import Job, Record

R = TypeVar("R", bound=Record)


class Events:
    """Server-sent events out of the pieces that they come in."""

    def __init__(self) -> None:
        self._left = b""

    def of(self, chunk: bytes) -> Iterator[Job]:
        *events, self._left = (self._left + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            data = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
            if data:
                yield read(Job, b"\n".join(data))


def parsed(kind: type[R], answer: httpx.Response) -> R:
    return read(kind, answer.content)


def read(kind: type[R], content: bytes) -> R:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise UpscaledError(f"this is no upscaled server: {where}: {first['msg']}") from error


def checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    raise refusal_of(answer)


def refusal_of(answer: httpx.Response) -> Refused:
    """What the problem+json says, or the status where a proxy answered."""
    try:
        problem: Any = answer.json()
        detail = problem.get("detail") or problem["title"]
        kind, field, value = problem.get("type"), problem.get("field"), problem.get("value")
    except (ValueError, AttributeError, KeyError):
        detail = f"HTTP {answer.status_code} {answer.reason_phrase}"
        kind = field = value = None
    message = f"{field}: {detail}" if field and str(field) not in str(detail) else str(detail)
    return Refused(message, status=answer.status_code, type=kind, field=field, value=value)
