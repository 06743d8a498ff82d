"""The command `upscaled`: arguments in, one clear line on standard error when it goes wrong.

    0  done      1  it failed      2  the arguments are wrong      130  Ctrl-C

Commands are registered by the packages that carry them out, as entry points of the group ENTRY_POINTS: each
names a function that takes `Commands`. What needs torch or PyAV is imported inside the function that runs.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from typing import Final

from pydantic import ValidationError

from service.command.arguments import CommandFailed, Commands, UsageError
from service.errors import UpscaleError

ENTRY_POINTS: Final = "upscaled.commands"


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = make_parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except UsageError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "stopped", 130)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        sys.stderr.close()
        return 1
    except (CommandFailed, UpscaleError, OSError) as error:
        return _fail(str(error), 1)
    except ValidationError as error:  # of the settings: everything else is checked nearer to its source
        first = error.errors()[0]
        return _fail(f"setting {'.'.join(map(str, first['loc'])) or 'unknown'}: {first['msg']}", 2)
    return status


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="upscaled", description="Pictures and video, four times larger, by TecoGAN."
    )
    parser.add_argument("--version", action="version", version=f"upscaled {version('upscaled')}")
    commands = Commands(parser)
    for each in sorted(entry_points(group=ENTRY_POINTS), key=lambda each: each.name):
        if find_spec(each.module.partition(".")[0]) is not None:  # an image has no more than it needs
            each.load()(commands)
    return parser


def _fail(message: str, status: int) -> int:
    print(f"upscaled: {message}", file=sys.stderr)
    return status
