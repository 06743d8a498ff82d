"""Write docs/settings.md from service.settings: `python scripts/settings_docs.py`, or `--check` it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from service.settings import ENVIRONMENT_PREFIX, Settings

PAGE: Final = Path(__file__).parent.parent / "docs" / "settings.md"
INTRODUCTION: Final = f"""\
# Settings

<!-- Written by scripts/settings_docs.py from service/settings.py: change that, then run the script. -->

Every process reads these once, when it starts, from the environment; all begin with `{ENVIRONMENT_PREFIX}`.
A name that is not in this table, or a value that does not fit, stops the process with a message. An empty
value is none. What the environment does not say may stand in a file under `/run/secrets` that has the
variable's name in lower case.

| variable | values | default | what it is |
|---|---|---|---|
"""


def page() -> str:
    return INTRODUCTION + "".join(f"| {' | '.join(row)} |\n" for row in _rows())


def _rows() -> Iterator[tuple[str, str, str, str]]:
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        yield f"`{ENVIRONMENT_PREFIX}{name.upper()}`", _values(field), _default(field), field.description


def _values(field: FieldInfo) -> str:
    bounds = {Gt: "more than {0.gt}", Ge: "{0.ge} or more", Le: "up to {0.le}", MinLen: "not empty"}
    limits = [
        words.format(limit)
        for limit in field.metadata
        for kind, words in bounds.items()
        if isinstance(limit, kind)
    ]
    return ", ".join([_kind(field.annotation), *limits])


def _kind(annotation: Any) -> str:
    """A type in the words of someone who sets a variable."""
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return _kind(next(kind for kind in get_args(annotation) if kind is not type(None)))
    words = {
        int: "whole number",
        float: "number",
        str: "text",
        bool: "`true` or `false`",
        Path: "path",
        SecretStr: "text, secret",
    }
    return words[annotation]


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    return "none" if default is None else f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def main() -> int:
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text() == page():
            return 0
        print("docs/settings.md is not what service/settings.py says", file=sys.stderr)
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
