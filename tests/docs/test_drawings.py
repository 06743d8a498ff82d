"""The drawings in docs/ against the networks as they are built today."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_committed_drawings_are_what_the_script_makes_from_the_networks():
    command = [sys.executable, ROOT / "scripts" / "drawings.py", "--check"]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    assert check.returncode == 0, f"{check.stderr}\nrun: python scripts/drawings.py"
