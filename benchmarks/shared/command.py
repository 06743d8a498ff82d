"""`upscaled` of the checkout in the working directory, which also writes the report of its job to a file.

    python -P benchmarks/command.py REPORT upscale IN OUT ...

Run as a file and not as a module, so that it measures another checkout, an older one too, by that one's code.
"""

import importlib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

UPSCALING = ("worker/offline/local.py", "worker/local.py")  # where `upscale` is, and where it was


def main() -> int:
    _, report, *sys.argv[1:] = sys.argv
    scripts = tomllib.loads(Path("pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["upscaled"].partition(":")
    _tell_report(Path(report))
    status: int = getattr(importlib.import_module(module), function)()
    return status


def _tell_report(path: Path) -> None:
    # By its file: where the checkout lacks a module, an installed one would be found instead.
    file = next(file for file in map(Path, UPSCALING) if file.exists())
    upscaling: Any = importlib.import_module(".".join(file.with_suffix("").parts))
    upscale = upscaling.upscale

    def reported(*arguments: Any) -> Any:
        report = upscale(*arguments)
        path.write_text(json.dumps(report))
        return report

    upscaling.upscale = reported


if __name__ == "__main__":
    sys.exit(main())
