"""The command `submit`: a file, or a folder with all that is in it, through a server.

Here are names, bars and words; what is said to the server is said by upscaled_client (client/).
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from service.animated import is_animated, reader_of
from service.command.arguments import (
    CommandFailed,
    Commands,
    UsageError,
    add_options,
    check_files,
    check_target,
    read_options,
)
from service.formats import CONTAINERS, FORMATS, HOLDS, NOT_FOR, format_of
from service.jobs.model import Handling, Options

if TYPE_CHECKING:
    from tqdm import tqdm

    from upscaled_client import AsyncClient, Job

SERVER: Final = "http://127.0.0.1:8000"
AT_ONCE: Final = 4  # files of a folder: some are sent or fetched while others are worked on
# What a server reads and does not write becomes another format; of a video one that holds all it carries.
BECOMES: Final = {
    ".gif": ".png",  # a still one
    ".mov": ".mkv",
    ".webm": ".mkv",
    ".avi": ".mkv",
}


@dataclass(frozen=True, slots=True)
class Task:
    source: Path | str  # text is an address
    target: Path
    name: str  # for people
    fields: dict[str, object]  # sent beside the file


@dataclass(frozen=True, slots=True)
class Outcome:
    """By name of the task."""

    failed: dict[str, str] = field(default_factory=dict)  # why
    notices: list[tuple[str, str]] = field(default_factory=list)


def add(commands: Commands) -> None:
    command = commands.add("submit", _submit, help="upscale a file, or all of a folder, on a server")
    command.add_argument("source", metavar="IN", type=Path, nargs="?")
    command.add_argument("--url", help="in place of IN: https address of a file, which the server fetches")
    command.add_argument("-o", "--output", dest="target", metavar="OUT", type=Path, required=True)
    add_options(command)
    command.add_argument(
        "--metadata", metavar="NAME=TEXT", action="append", help="a note of yours on the job; may be repeated"
    )
    command.add_argument("--server", metavar="URL", default=SERVER, help=f"where it is (default {SERVER})")

    command = commands.add("estimate", _estimate, help="tell what a file would come to on a server")
    command.add_argument("source", metavar="IN", type=Path)
    add_options(command)
    formats = sorted({each for formats in FORMATS.values() for each in formats})
    command.add_argument("--format", choices=formats, help=Options.model_fields["format"].description)
    command.add_argument("--server", metavar="URL", default=SERVER, help=f"where it is (default {SERVER})")


def _estimate(parsed: argparse.Namespace) -> int:
    from upscaled_client import Client, UpscaledError  # noqa: PLC0415 - httpx, only here

    if not parsed.source.is_file():
        raise UsageError(f"{parsed.source}: no such file")
    options = read_options(parsed, takes_format=False).model_dump(exclude_unset=True, exclude_none=True)
    if parsed.format:
        options["format"] = parsed.format
    try:
        with Client(parsed.server) as client:
            job = client.estimate(parsed.source, options)
            client.delete(job.id)
    except (UpscaledError, ValueError) as error:
        raise CommandFailed(str(error)) from error
    if job.error is not None:
        raise CommandFailed(job.error.message)
    report = job.report or {}
    print(in_words(report))
    for notice in report.get("notices", ()):
        print(f"upscaled: note: {notice}", file=sys.stderr)
    return 0


def in_words(report: Mapping[str, Any]) -> str:
    """An estimate, in two lines."""
    found = report["estimate"]
    coded = f"{found['format']}, {found['codec']}" if found["codec"] else found["format"]
    size = "" if found["result_bytes"] is None else f", about {found['result_bytes'] / 1e6:.1f} MB"
    frames = f"{found['frames']} frames of {found['width']}x{found['height']}"
    line = f"{frames}, {coded}{size}, by {report['model']}"
    if found["seconds"] is None:
        return f"{line}\nthe server has made nothing like it yet, so how long it takes is not known"
    wait = f", and {found['wait_s']:.0f} s for others" if found["wait_s"] >= 1 else ""
    return f"{line}\nabout {found['seconds']:.1f} s{wait}"


def _submit(parsed: argparse.Namespace) -> int:
    if (parsed.source is None) == (parsed.url is None):
        raise UsageError("one is wanted of IN and --url")
    is_folder = parsed.source is not None and parsed.source.is_dir()
    options = read_options(parsed, takes_format=not is_folder)
    notes = _read_notes(parsed.metadata or [])
    if is_folder:
        tasks = tasks_of(parsed.source, parsed.target, options, notes)
    elif parsed.url is not None:
        check_target(parsed.target)
        fields = options.model_dump(exclude_unset=True) | notes
        tasks = [Task(parsed.url, parsed.target, parsed.url.rpartition("/")[2] or parsed.url, fields)]
    else:
        check_files(parsed)
        fields = options.model_dump(exclude_unset=True) | notes
        tasks = [Task(parsed.source, parsed.target, parsed.source.name, fields)]
    outcome = Outcome()
    try:
        asyncio.run(_run_all(tasks, parsed.server, outcome))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how_to_go_on(tasks)) from None
    for name, notice in outcome.notices:
        print(f"upscaled: note: {f'{name}: ' if is_folder else ''}{notice}", file=sys.stderr)
    if not outcome.failed:
        return 0
    if not is_folder:
        raise CommandFailed(*outcome.failed.values())
    for name, reason in outcome.failed.items():
        print(f"upscaled: {name}: {reason}", file=sys.stderr)
    raise CommandFailed(
        f"{len(outcome.failed)} of {len(tasks)} files failed; the same command tries them again"
    )


def _read_notes(given: Sequence[str]) -> dict[str, object]:
    """What is sent beside the options, checked as the API checks it; raises UsageError."""
    for each in given:
        if "=" not in each:
            raise UsageError(f"--metadata {each}: must be NAME=TEXT")
    metadata = dict(each.split("=", 1) for each in given)
    try:
        return Handling(metadata=metadata).model_dump(exclude_defaults=True)
    except ValidationError as error:
        raise UsageError(f"--metadata: {error.errors()[0]['msg']}") from error


def tasks_of(
    source: Path, target: Path, options: Options, notes: Mapping[str, object] = MappingProxyType({})
) -> list[Task]:
    """The media below a folder that are not done yet, each with its place below the other.

    Done is what has a result that is not older. Hidden files and folders are passed over.
    Raises UsageError where there are none, or two would become one.
    """
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{target}: the results would lie among the inputs")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target}: is no folder")
    tasks: dict[Path, Task] = {}
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        suffix = _suffix_of_result(path, options)
        if suffix is None or any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        place = inside.with_suffix(suffix)
        task = Task(path, target / place, str(inside), _fields(suffix, options) | dict(notes))
        if (other := tasks.setdefault(task.target, task)) is not task:
            raise UsageError(f"{other.name} and {task.name} would both become {place}")
    if not tasks:
        raise UsageError(f"{source}: holds no picture and no video")
    return [task for task in tasks.values() if not _is_done(task)]


def how_to_go_on(tasks: Sequence[Task]) -> str:
    """After Ctrl-C."""
    from upscaled_client.submitting import begun, is_sent_in_part  # noqa: PLC0415 - httpx, only here

    jobs = ", ".join(job_id for task in tasks if (job_id := begun(task.target)))
    if not jobs and any(is_sent_in_part(task.target) for task in tasks):
        return "stopped; the same command sends what is missing"
    if not jobs:
        return "stopped; the same command begins anew"
    return f"stopped, but on the server it goes on: the same command waits for it and fetches it ({jobs})"


def _suffix_of_result(path: Path, options: Options) -> str | None:
    """None for what is no medium."""
    suffix = path.suffix if _is_moving_gif(path) else BECOMES.get(path.suffix.lower(), path.suffix)
    wanted = format_of(suffix)
    if wanted in CONTAINERS and options.codec is not None and options.codec not in HOLDS[wanted]:
        return ".mkv"
    return None if wanted is None else suffix


def _is_moving_gif(path: Path) -> bool:
    if path.suffix.lower() != ".gif" or not path.is_file():
        return False
    with reader_of(path) as read:
        return is_animated("gif", read)


def _fields(suffix: str, options: Options) -> dict[str, object]:
    """A folder may hold both kinds: pictures don't get what is for videos."""
    given = {**options.model_dump(exclude_unset=True), "format": format_of(suffix)}
    if given["format"] not in CONTAINERS:
        given = {name: value for name, value in given.items() if name not in NOT_FOR["image"]}
    return given


def _is_done(task: Task) -> bool:
    assert isinstance(task.source, Path), "a folder has files"
    return task.target.exists() and task.target.stat().st_mtime_ns >= task.source.stat().st_mtime_ns


async def _run_all(tasks: Sequence[Task], server: str, outcome: Outcome) -> None:
    from upscaled_client import AsyncClient, UpscaledError  # noqa: PLC0415 - httpx, only here

    free = asyncio.Semaphore(AT_ONCE)

    async def run(task: Task) -> None:
        async with free:
            try:
                await _run_one(client, task, outcome)
            except (UpscaledError, OSError) as error:
                outcome.failed[task.name] = str(error)

    try:
        client = AsyncClient(server)
    except (UpscaledError, ValueError) as error:
        raise UsageError(str(error)) from error
    async with client, asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(run(task))


async def _run_one(client: "AsyncClient", task: Task, outcome: Outcome) -> None:
    task.target.parent.mkdir(parents=True, exist_ok=True)
    with _bar(task.name) as bar:

        def show_sent(done: int, total: int) -> None:
            bar.set_postfix_str(f"sending {done * 100 // max(total, 1)} %")

        def show_job(job: "Job") -> None:
            bar.set_postfix_str(job.state)
            bar.total = job.progress.frames_total
            bar.update(job.progress.frames_done - bar.n)

        job = await client.submit(task.source, task.target, task.fields, on_sent=show_sent, on_job=show_job)
    outcome.notices.extend((task.name, notice) for notice in (job.report or {}).get("notices", ()))


@contextmanager
def _bar(name: str) -> "Iterator[tqdm[Any]]":
    """On standard error; frames in all are known only after planning."""
    from tqdm import tqdm  # noqa: PLC0415 - the API does without

    with tqdm(desc=name, unit="frame", disable=None) as bar:
        yield bar
