"""Print what the extras named on the command line need, a requirement a line, from pyproject.toml beside us.

Images install this before the code comes in, so that a change of code leaves the layer of libraries as it is.
An extra may name others: `upscaled[api,worker]`.
"""

import re
import sys
import tomllib
from pathlib import Path


def main(arguments: list[str]) -> int:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]

    def needs(extra: str) -> set[str]:
        found: set[str] = set()
        for requirement in extras[extra]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            found |= set().union(*map(needs, own[1].split(","))) if own else {requirement}
        return found

    wanted = set(project["dependencies"]).union(*map(needs, arguments))
    print("\n".join(sorted(wanted)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
