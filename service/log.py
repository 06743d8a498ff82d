"""Logs: one event on one line, JSON for machines and a short form for a terminal.

    log = logging.getLogger(__name__)
    with bind(job=job.id, step=lease.step):
        log.info("segment_encoded", extra={"frame_count": 240, "wall_ms": 1840})

Modules use plain `logging`, so that libraries' lines and ours leave by the same door. An event is a constant,
noun then past verb; data go into `extra` with their units. What is bound follows calls and `await`, not
threads: a thread that works for a job binds it itself, or runs in `contextvars.copy_context()`.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from service.settings import Settings

_bound: ContextVar[dict[str, Any] | None] = ContextVar("bound", default=None)

# What every record carries, and what formatters add to it; everything else came by `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def setup(settings: Settings) -> None:
    """Once, when a process starts: everything from `info` upward goes to standard error, one line each."""
    configure(settings.log_format, sys.stderr)


def configure(log_format: Literal["auto", "json", "human"], stream: TextIO) -> None:
    """Replace whatever handlers there are by ours."""
    as_json = log_format == "json" or (log_format == "auto" and not stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if as_json else HumanFormatter())
    handler.addFilter(_add_bound)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Add fields to every line written inside, by whichever logger."""
    token = _bound.set((_bound.get() or {}) | fields)
    try:
        yield
    finally:
        _bound.reset(token)


class JsonFormatter(logging.Formatter):
    """One object a line; a field that is no JSON becomes its text."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class HumanFormatter(logging.Formatter):
    """Time, level, event and fields, with the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{time} {record.levelname.lower():8} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _add_bound(record: logging.LogRecord) -> bool:
    for name, value in (_bound.get() or {}).items():
        if name not in vars(record):
            setattr(record, name, value)
    return True


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
