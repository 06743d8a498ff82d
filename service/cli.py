"""The command `upscaled`: arguments in, one clear line on standard error when it goes wrong.

    0  done      1  it failed      2  the arguments are wrong      130  Ctrl-C

What needs torch or PyAV is imported inside the command that uses it, so `submit` works with neither.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from service import cli_models
from service.errors import UpscaleError
from service.jobs.model import Options
from service.settings import Settings

SERVER = "http://127.0.0.1:8000"


class UsageError(Exception):
    """The arguments can't be right; exit status 2."""


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except UsageError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("stopped", 130)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        sys.stderr.close()
        return 1
    except (UpscaleError, OSError) as error:
        return _fail(str(error), 1)
    except ValidationError as error:  # of the settings: everything else is checked nearer to its source
        first = error.errors()[0]
        return _fail(f"setting {'.'.join(map(str, first['loc'])) or 'unknown'}: {first['msg']}", 2)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="upscaled", description="Pictures and video, four times larger, by TecoGAN."
    )
    parser.add_argument("--version", action="version", version=f"upscaled {version('upscaled')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("serve", help="run the whole service on this machine")
    command.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    command.add_argument("--port", type=int, help="port to listen on (default 8000, or PORT)")
    command.add_argument(
        "--data", type=Path, metavar="FOLDER", help="where everything is kept (default data)"
    )
    command.set_defaults(run=_serve)

    command = commands.add_parser("upscale", help="upscale a file or numbered frames without a server")
    _add_files_and_options(command, target="positional")
    command.set_defaults(run=_upscale)

    command = commands.add_parser("submit", help="upscale one file on a server")
    _add_files_and_options(command, target="option")
    command.add_argument("--server", metavar="URL", default=SERVER, help=f"where it is (default {SERVER})")
    command.set_defaults(run=_submit)

    command = commands.add_parser("verify", help="check a result against its input")
    command.add_argument("source", metavar="IN", type=Path)
    command.add_argument("target", metavar="OUT", type=Path)
    command.add_argument("--scale", type=int, choices=(2, 4), help="times it should be larger (default any)")
    _add_cut(command)
    command.set_defaults(run=_verify)

    cli_models.add_commands(commands)

    command = commands.add_parser("worker", help="run a worker for a service on many machines")
    command.set_defaults(run=_worker)
    return parser


def _add_files_and_options(command: argparse.ArgumentParser, *, target: str) -> None:
    command.add_argument("source", metavar="IN", type=Path)
    if target == "positional":
        command.add_argument("target", metavar="OUT", type=Path)
    else:
        command.add_argument("-o", "--output", dest="target", metavar="OUT", type=Path, required=True)
    command.add_argument("--scale", type=int, choices=(2, 4), help="times as wide and high (default 4)")
    command.add_argument("--model", metavar="NAME", help="see GET /models")
    command.add_argument("--codec", choices=("h264", "hevc", "ffv1"), help="of a video; ffv1 is lossless")
    command.add_argument("--quality", type=int, metavar="N", help="1 to 100, larger is better")
    _add_cut(command)


def _add_cut(command: argparse.ArgumentParser) -> None:
    command.add_argument("--start", type=float, metavar="SECONDS", help="of a video: where to begin")
    command.add_argument("--duration", type=float, metavar="SECONDS", help="of a video: how much of it")


def _serve(parsed: argparse.Namespace) -> int:
    from service.serve import CannotServe, serve  # noqa: PLC0415

    overrides = {"host": parsed.host, "port": parsed.port or _port_of_environment(), "data_dir": parsed.data}
    settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    try:
        return serve(settings)
    except CannotServe as error:
        return _fail(str(error), 1)


def _port_of_environment() -> int | None:
    """PORT, as most hosts of services set it; UPSCALED_PORT works too."""
    text = os.environ.get("PORT")
    if text is None:
        return None
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise UsageError(f"PORT must be a port number, not {text!r}")
    return int(text)


def _upscale(parsed: argparse.Namespace) -> int:
    if parsed.source.is_dir():
        return _upscale_folder(parsed)
    options = _options(parsed)
    _check_files(parsed)
    from worker.offline.local import UpscaleFailed, upscale  # noqa: PLC0415 - torch and PyAV, only here

    try:
        with _progress(parsed.source.name) as on_progress:
            report = upscale(parsed.source, parsed.target, options, on_progress)
    except UpscaleFailed as error:
        return _fail(str(error), 1)
    _show_notices(report)
    return 0


def _upscale_folder(parsed: argparse.Namespace) -> int:
    """Frames keep their names and their kind, so nothing is read from the name of the result."""
    options = _options(parsed, takes_format=False)
    from worker.offline.folder import upscale_folder  # noqa: PLC0415 - torch, only here

    with _progress(parsed.source.name) as on_progress:
        report = upscale_folder(parsed.source, parsed.target, options, on_progress)
    _show_notices(report)
    return 0


def _submit(parsed: argparse.Namespace) -> int:
    options = _options(parsed)
    _check_files(parsed)
    from service.client import SubmitError, submit  # noqa: PLC0415 - httpx, only here

    sent = {name: str(value) for name, value in options.model_dump(exclude_unset=True).items()}
    try:
        with _progress(parsed.source.name) as on_progress:
            job = submit(
                parsed.source, parsed.target, server=parsed.server, options=sent, on_progress=on_progress
            )
    except SubmitError as error:
        return _fail(str(error), 1)
    _show_notices(job.get("report") or {})
    return 0


def _verify(parsed: argparse.Namespace) -> int:
    """The report on standard output; 1 when something was not kept."""
    from worker.media.checking.verify import verify  # noqa: PLC0415 - PyAV, only here

    report = verify(
        parsed.source, parsed.target, scale=parsed.scale, start_s=parsed.start, duration_s=parsed.duration
    )
    print(json.dumps(report, indent=2))
    for problem in report["problems"]:
        print(f"upscaled: {problem}", file=sys.stderr)
    return 1 if report["problems"] else 0


def _worker(_parsed: argparse.Namespace) -> int:
    from worker.process.main import run  # noqa: PLC0415 - torch and PyAV, only here

    return run()


def _options(parsed: argparse.Namespace, *, takes_format: bool = True) -> Options:
    """What was given, checked as the API checks it; a format is taken from the name of the result."""
    given = {name: getattr(parsed, name, None) for name in Options.model_fields}
    given["format"] = _format_of(parsed.target) if takes_format else None
    try:
        return Options.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from error


def _format_of(target: Path) -> str:
    """The format that the result's extension names."""
    extension = target.suffix.lower().removeprefix(".")
    extension = {"jpg": "jpeg", "tif": "tiff"}.get(extension, extension)
    known = ("mp4", "mkv", "png", "jpeg", "webp", "tiff", "bmp")
    if extension not in known:
        raise UsageError(f"{target}: the name of the result must end in one of: .{', .'.join(known)}")
    return extension


def _check_files(parsed: argparse.Namespace) -> None:
    """Before minutes of work: is there an input, and is there a place for the result?"""
    if not parsed.source.is_file():
        raise UsageError(f"{parsed.source}: no such file")
    if not parsed.target.parent.is_dir():
        raise UsageError(f"{parsed.target.parent}: no such folder")
    if parsed.target.exists() and parsed.target.samefile(parsed.source):
        raise UsageError(f"{parsed.target}: the result would replace the input")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error; frames in all are known only after planning."""
    from tqdm import tqdm  # noqa: PLC0415 - the API does without

    with tqdm(desc=name, unit="frame", disable=None) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _show_notices(report: dict[str, object]) -> None:
    notices = report.get("notices")
    for notice in notices if isinstance(notices, list) else []:
        print(f"upscaled: note: {notice}", file=sys.stderr)


def _fail(message: str, status: int) -> int:
    print(f"upscaled: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
