"""Problems: every error of the API as one application/problem+json answer (RFC 9457).

Here are the handlers that turn any exception into one. `type` is a path on this server that explains the
problem: GET it. Not here: the tree of errors (service/errors.py), and the few that HTTP adds (errors.py).
Start reading at `install`.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import FastAPI, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from service.api.middleware import request_ids
from service.api.problems.errors import BadRequest, MethodNotAllowed, NotFound
from service.errors import InvalidOption, UpscaleError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
COME_BACK_AFTER_S = 5  # what a client is told after a 503: one sweep of the queue is a few seconds
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
# openapi.py puts the component there
PROBLEM_CONTENT: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
VALUE_CHARS_MAX = 200  # an offending value is echoed, but nobody needs a megabyte of it


class Problem(BaseModel):
    """An error, as RFC 9457 has it, with the option at fault and what was sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "/problems/invalid_option",
                "title": "Invalid option",
                "status": 422,
                "detail": "scale: input should be 2 or 4",
                "field": "scale",
                "value": "3",
            }
        }
    )

    type: str = Field(description="A path that explains this problem; stable, so programs may compare it.")
    title: str = Field(description="The problem in a few words, the same for every occurrence.")
    status: int
    detail: str = Field(description="What happened this time, for a person.")
    field: str | None = Field(default=None, description="The option or field at fault.")
    value: Any = Field(default=None, description="The offending value, shortened if it is long.")


class Explanation(BaseModel):
    """What a problem means, whenever it occurs."""

    type: str
    title: str
    status: int
    explanation: str
    retry: bool = Field(description="Whether the same request may succeed later.")


def install(app: FastAPI) -> None:
    """Make every exception of `app` a problem, and let each `type` be looked up."""
    app.add_exception_handler(UpscaleError, _on_upscale_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(Exception, _on_fault)
    app.add_api_route(
        "/problems/{code}",
        explain_problem,
        methods=["GET"],
        tags=["service"],
        summary="Explain a problem",
        responses=problem_responses(404),
    )


def explain_problem(code: Annotated[str, PathParameter(examples=[InvalidOption.code])]) -> Explanation:
    """What the problem `/problems/{code}` means and which status it comes with."""
    for error in known_errors():
        if error.code == code:
            return Explanation(
                type=f"/problems/{code}",
                title=_title(code),
                status=error.http_status,
                explanation=(error.__doc__ or "").strip(),
                retry=error.http_status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS),
            )
    raise NotFound(f"no problem is called {code!r}", field="code", value=code)


def known_errors() -> Iterator[type[UpscaleError]]:
    """Every class of the error tree, the base first."""
    pending: list[type[UpscaleError]] = [UpscaleError]
    while pending:
        error = pending.pop()
        yield error
        pending.extend(error.__subclasses__())


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these statuses, for OpenAPI."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": PROBLEM_CONTENT} for status in statuses
    }


def problem_response(
    code: str,
    status: int,
    detail: str,
    *,
    field: str | None = None,
    value: object = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    problem = Problem(
        type=f"/problems/{code}",
        title=_title(code),
        status=status,
        detail=detail,
        field=field,
        value=_shortened(value),
    )
    merged = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        merged.setdefault("Retry-After", str(COME_BACK_AFTER_S))
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, status_code=status, headers=merged, media_type=MEDIA_TYPE)


async def _on_upscale_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UpscaleError)
    return problem_of(error)


def problem_of(error: UpscaleError) -> Response:
    detail = str(error)
    if not error.public:
        log.error("request_failed", exc_info=error, extra={"code": error.code})
        # The message of a fault may name hosts, buckets or paths: its reader is the log's, not the client.
        detail = (
            "The service is not able to do this right now."
            if error.retry
            else "Something broke in the service."
        )
    return problem_response(
        error.code, error.http_status, detail, field=error.field, value=error.value, headers=error.headers
    )


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_response(NotFound.code, 404, f"nothing is served at {path}", value=path)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible at {path}"
        headers = {"Allow": ", ".join(_methods_at(request))}
        return problem_response(
            MethodNotAllowed.code, 405, detail, field="method", value=request.method, headers=headers
        )
    return problem_response(BadRequest.code, error.status_code, str(error.detail), headers=error.headers)


def _methods_at(request: Request) -> list[str]:
    """All that some route of that address takes: the router names those of the first route alone."""

    def is_taken(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in _METHODS if is_taken(method)]


async def _on_invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or None
    return problem_response(InvalidOption.code, 422, first["msg"], field=field, value=first.get("input"))


async def _on_fault(request: Request, error: Exception) -> Response:
    """Runs outside of all middleware, so the request's id is not yet in the log's lines and in the answer."""
    request_id = request.scope["request_id"]
    log.error("request_failed", exc_info=error, extra={"code": UpscaleError.code, "request": request_id})
    headers = {request_ids.HEADER: request_id}
    return problem_response(UpscaleError.code, 500, "Something broke in the service.", headers=headers)


def _title(code: str) -> str:
    return code.replace("_", " ").capitalize()


def _shortened(value: object) -> Any:
    """The value as JSON can carry it, cut when long."""
    if value is None or isinstance(value, bool | int):
        return value
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        text = str(value)
    if isinstance(value, str) or len(text) > VALUE_CHARS_MAX:
        return text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + "..."
    return json.loads(text) if text.startswith(("[", "{")) or isinstance(value, float) else text
