"""What the commands of several packages share: where they are added, files and options, progress, notices."""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.formats import CODECS, DEINTERLACE, FORMATS, SCALES, SIZES, STRIPS, Format, format_of
from service.jobs.model import Options

GROUPS = {
    "keys": "make, list or revoke the keys that callers of the API show",
    "webhooks": "secrets by which receivers know that a message is ours",
    "models": "list the models, or import published weights",
}


class UsageError(Exception):
    """The arguments can't be right; exit status 2."""


class CommandFailed(Exception):
    """What a command set out to do did not come about; exit status 1."""


class Commands:
    """Where packages add their commands."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._top = parser.add_subparsers(required=True, metavar="COMMAND")
        self._groups: dict[str, Any] = {}

    def add(
        self,
        name: str,
        run: Callable[[argparse.Namespace], int],
        *,
        help: str,  # noqa: A002 (argparse's own)
    ) -> argparse.ArgumentParser:
        """A command of one word, or of two whose first is one of GROUPS; `run` returns the exit status."""
        group, _, verb = name.rpartition(" ")
        command: argparse.ArgumentParser = self._within(group).add_parser(verb, help=help)
        command.set_defaults(run=run)
        return command

    def _within(self, group: str) -> Any:
        if not group:
            return self._top
        if group not in self._groups:
            parser = self._top.add_parser(group, help=GROUPS[group])
            self._groups[group] = parser.add_subparsers(required=True, metavar="VERB")
        return self._groups[group]


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of a job, but the format, which the result's name tells."""
    command.add_argument("--scale", type=int, choices=SCALES, help=_help("scale"))
    command.add_argument("--size", choices=SIZES, help=_help("size"))
    command.add_argument("--width", type=int, metavar="PIXELS", help=_help("width"))
    command.add_argument("--height", type=int, metavar="PIXELS", help=_help("height"))
    command.add_argument("--model", metavar="NAME", help=_help("model"))
    command.add_argument("--strength", type=int, metavar="PERCENT", help=_help("strength"))
    command.add_argument("--codec", choices=CODECS, help=_help("codec"))
    command.add_argument("--quality", type=int, metavar="N", help=_help("quality"))
    command.add_argument("--deinterlace", choices=DEINTERLACE, help=_help("deinterlace"))
    command.add_argument("--strip", choices=STRIPS, help=_help("strip"))
    command.add_argument("--sample", action="store_const", const=True, help=_help("sample"))
    add_cut(command)


def add_cut(command: argparse.ArgumentParser) -> None:
    """The options that take a part of a video."""
    command.add_argument("--start", type=float, metavar="SECONDS", help=_help("start"))
    command.add_argument("--duration", type=float, metavar="SECONDS", help=_help("duration"))


def _help(option: str) -> str | None:
    return Options.model_fields[option].description


def read_options(parsed: argparse.Namespace, *, takes_format: bool = True) -> Options:
    """What was given, checked as the API checks it; a format is taken from the name of the result."""
    given = {name: getattr(parsed, name, None) for name in Options.model_fields}
    given["format"] = _format_of(parsed.target) if takes_format else None
    try:
        return Options.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from error


def _format_of(target: Path) -> Format:
    """The format that the result's name ends in."""
    named = format_of(target.suffix)
    if named is None:
        known = ", .".join(itertools.chain.from_iterable(FORMATS.values()))
        raise UsageError(f"{target}: the name of the result must end in one of: .{known}")
    return named


def check_files(parsed: argparse.Namespace) -> None:
    """Before minutes of work: is there an input, and is there a place for the result?"""
    if not parsed.source.is_file():
        raise UsageError(f"{parsed.source}: no such file")
    check_target(parsed.target)
    if parsed.target.exists() and parsed.target.samefile(parsed.source):
        raise UsageError(f"{parsed.target}: the result would replace the input")


def check_target(target: Path) -> None:
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such folder")


@contextmanager
def shown_progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error; frames in all are known only after planning."""
    from tqdm import tqdm  # noqa: PLC0415 - the API does without

    with tqdm(desc=name, unit="frame", disable=None) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def show_notices(report: dict[str, object]) -> None:
    notices, reason = report.get("notices"), report.get("model_reason")
    for notice in [*([reason] if reason else []), *(notices if isinstance(notices, list) else [])]:
        print(f"upscaled: note: {notice}", file=sys.stderr)
