"""The commands that need no server: `upscale`, `verify`, `models import`.

torch and PyAV take seconds to load, so each is imported where a command runs.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Final

from service.command.arguments import (
    CommandFailed,
    Commands,
    add_cut,
    add_options,
    check_files,
    read_options,
    show_notices,
    shown_progress,
)
from service.formats import SCALES
from service.settings import Settings

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # fits a storage key and the option `model`


def add(commands: Commands) -> None:
    command = commands.add("upscale", _upscale, help="upscale a file or numbered frames without a server")
    command.add_argument("source", metavar="IN", type=Path)
    command.add_argument("target", metavar="OUT", type=Path)
    add_options(command)

    command = commands.add("verify", _verify, help="check a result against its input")
    command.add_argument("source", metavar="IN", type=Path)
    command.add_argument("target", metavar="OUT", type=Path)
    command.add_argument("--scale", type=int, choices=SCALES, help="times it should be larger (default any)")
    add_cut(command)

    command = commands.add(
        "models import", _import, help="publish the weights in a .pth or .safetensors file"
    )
    command.add_argument("file", metavar="FILE", type=_file)
    command.add_argument("--as", dest="name", metavar="NAME", type=_name, required=True)
    command.add_argument("--force", action="store_true", help="replace a model of that name")


def _upscale(parsed: argparse.Namespace) -> int:
    if parsed.source.is_dir():
        return _upscale_folder(parsed)
    options = read_options(parsed)
    check_files(parsed)
    from worker.offline.local import UpscaleFailed, upscale  # noqa: PLC0415

    try:
        with shown_progress(parsed.source.name) as on_progress:
            report = upscale(parsed.source, parsed.target, options, on_progress)
    except UpscaleFailed as error:
        raise CommandFailed(str(error)) from error
    show_notices(report)
    return 0


def _upscale_folder(parsed: argparse.Namespace) -> int:
    """Frames keep their names and their kind, so nothing is read from the name of the result."""
    options = read_options(parsed, takes_format=False)
    from worker.offline.folder import upscale_folder  # noqa: PLC0415

    with shown_progress(parsed.source.name) as on_progress:
        report = upscale_folder(parsed.source, parsed.target, options, on_progress)
    show_notices(report)
    return 0


def _verify(parsed: argparse.Namespace) -> int:
    """The report on standard output; 1 when something was not kept."""
    from worker.media.checking.verify import verify  # noqa: PLC0415

    report = verify(
        parsed.source, parsed.target, scale=parsed.scale, start_s=parsed.start, duration_s=parsed.duration
    )
    print(json.dumps(report, indent=2))
    for problem in report["problems"]:
        print(f"upscaled: {problem}", file=sys.stderr)
    return 1 if report["problems"] else 0


def _import(parsed: argparse.Namespace) -> int:
    from service.objects.open import open_storage  # noqa: PLC0415
    from worker.models.importing import import_model  # noqa: PLC0415

    print(import_model(open_storage(Settings()), parsed.file, parsed.name, replace=parsed.force))
    return 0


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text}: no such file")
    return path


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a name is 1 to 64 letters, digits, '.', '-' and '_', a letter or digit first"
        )
    return text
