"""The house: rooms that a reader takes in at a look, modules that tell one story, doors that say which."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("service", "worker", "model_core", "training", "benchmarks", "client/upscaled_client")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
DOORS = [path for path in MODULES if path.name == "__init__.py"]

MODULES_MAX = 14  # of a folder, beside its __init__
LINES_MAX = 300
TABLES = {"service/errors.py"}  # looked up in, not read from top to bottom: a class an error


def test_no_folder_holds_more_modules_than_one_sees_at_a_look():
    counts = Counter(name(path.parent) for path in MODULES if path not in DOORS)
    assert {folder: count for folder, count in counts.items() if count > MODULES_MAX} == {}


def test_no_module_but_a_table_is_longer_than_one_story():
    lengths = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {each for each, lines in lengths.items() if lines > LINES_MAX} == TABLES


@pytest.mark.parametrize("door", DOORS, ids=lambda door: str(door.parent.relative_to(ROOT)))
def test_a_folder_says_at_its_door_what_it_is_for(door: Path):
    said = ast.get_docstring(ast.parse(door.read_text())) or ""
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) >= 2, f"{name(door)}: what it is for, and where to start or what it knows nothing of"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))
