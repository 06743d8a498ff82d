"""The TypeScript types: those of the document that the API has now, and a client can be made of them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_types_are_current_and_a_client_of_them_compiles() -> None:
    if not (ROOT / "client/typescript/node_modules/.bin/tsc").exists():
        pytest.skip("there is no TypeScript: scripts/typescript --install gets it where npm is at hand")
    check = subprocess.run(
        [ROOT / "scripts/typescript", "--check"],
        env={"PYTHON": sys.executable, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, f"{check.stdout}{check.stderr}\nrun: scripts/typescript"
