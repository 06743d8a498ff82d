"""The OpenAPI document, so that clients can be generated from it: what FastAPI finds, its guesses put right.

An operation is named by the function that answers it, a verb. Every status that a route may answer stands
there: the route names those of its own, here are added those that any may have. Start reading at `describe`.
"""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from service.api.problems.answering import Problem, problem_responses

BINARY: Final = {"schema": {"type": "string", "format": "binary"}}

_ANYWHERE = (HTTPStatus.FORBIDDEN, HTTPStatus.INTERNAL_SERVER_ERROR)  # statuses that every route may answer
_GUESSED = "HTTPValidationError"  # FastAPI's own form of a 422, which we never send


def describe(app: FastAPI, *, has_keys: bool) -> None:
    """Let the document of `app` tell how we answer, and whether for a key."""
    found = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _put_right(found(), has_keys=has_keys)
        assert app.openapi_schema is not None, "FastAPI keeps what it found"
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI wants it


def operation_id(route: APIRoute) -> str:
    return route.name


def _put_right(document: dict[str, Any], *, has_keys: bool) -> None:
    schemas = document["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema()
    for name in (_GUESSED, "ValidationError"):
        schemas.pop(name, None)
    if not has_keys:
        del document["components"]["securitySchemes"]
    for path in document["paths"].values():
        for operation in path.values():
            if not has_keys:
                operation.pop("security", None)
            responses = operation["responses"]
            if _GUESSED in str(responses.get("422")):
                del responses["422"]
            for status, response in problem_responses(*_ANYWHERE).items():
                responses.setdefault(str(status), response)
