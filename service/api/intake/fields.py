"""Fields: what a form may say beside its file, each checked by itself, and how OpenAPI describes them.

Which of them go together is the model's matter (service/jobs/model.py).
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from service.errors import InvalidOption
from service.formats import SCALES
from service.jobs.model import Handling, Options, Record

FIELD_BYTES_MAX: Final = 256  # of one option; the longest real one is a model's name
_LONG: Final = {
    "metadata": 16 * 1024,
    "webhook": 2000,
    "url": 2000,
}  # JSON may spell a character in twelve bytes

# Each tells of the file, so that a form has one of them.
SOURCES: Final = {
    "file": {"type": "string", "format": "binary", "minLength": 1, "description": "The video or picture."},
    "upload": {
        "type": "string",
        "description": "Instead of the file: the id of one that was sent to /uploads.",
    },
    "url": {
        "type": "string",
        "maxLength": 2000,
        "description": "Instead of the file: the https address of one, which the service fetches first.",
    },
}

_RECORDS: Final[dict[str, type[Record]]] = {
    name: record for record in (Options, Handling) for name in record.model_fields
}


class Fields:
    """Those of one form, as they come; each at most once."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def begin(self, name: str) -> None:
        """Raises InvalidOption for what is no field of ours, or was there before."""
        if name not in _RECORDS:
            known = ", ".join([*SOURCES, *_RECORDS])
            raise InvalidOption(f"there is no option {name!r}; there are: {known}", field=name)
        if name in self._values:
            raise InvalidOption(f"{name} was sent twice", field=name)

    def check_length(self, name: str, raw: bytes | bytearray) -> None:
        if len(raw) > _LONG.get(name, FIELD_BYTES_MAX):
            raise InvalidOption(f"{name} is too long", field=name, value=bytes(raw).decode("latin-1"))

    def take(self, name: str, raw: bytes) -> Any:
        """Keep the field's value and return it; raises InvalidOption."""
        value = self._values[name] = _value(name, raw.decode("utf-8", "replace"))
        return value

    @property
    def options(self) -> Options:
        return Options.model_validate(self._of(Options))

    @property
    def handling(self) -> Handling:
        return Handling.model_validate(self._of(Handling))

    def _of(self, record: type[Record]) -> Mapping[str, Any]:
        return {name: value for name, value in self._values.items() if _RECORDS[name] is record}


def form_schema() -> dict[str, Any]:
    """Of the whole form, for OpenAPI."""
    described = Options.model_json_schema()["properties"] | Handling.model_json_schema()["properties"]
    return {
        "type": "object",
        "oneOf": [{"required": [source]} for source in SOURCES],
        "additionalProperties": False,
        "properties": SOURCES | {name: _field_schema(schema) for name, schema in described.items()},
    }


def _field_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Of an option as a field of a form, which has no null: who wants the default leaves the field out."""
    (given,) = (each for each in schema.get("anyOf", [schema]) if each.get("type") != "null")
    field = {**given, "description": schema["description"]}
    return {name: value for name, value in field.items() if name not in {"title", "default"}}


def _value(name: str, text: str) -> Any:
    try:
        return getattr(_RECORDS[name].model_validate({name: _read(name, text)}), name)
    except ValidationError as error:
        detail = error.errors()[0]["msg"]
        raise InvalidOption(f"{name}: {detail[0].lower()}{detail[1:]}", field=name, value=text) from error


def _read(name: str, text: str) -> Any:
    if name == "metadata":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            message = "metadata: must be a JSON object of texts"
            raise InvalidOption(message, field=name, value=text) from error
    # A Literal of integers takes no text, and int() would take "0_4" too.
    return int(text) if name == "scale" and text in map(str, SCALES) else text
