"""The client as others install it: by itself, typed, and without anything of the server."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.servers import ROOT

CLIENT = ROOT / "client"


def test_it_installs_and_loads_by_itself(tmp_path: Path) -> None:
    tree, installed = tmp_path / "client", tmp_path / "installed"
    shutil.copytree(CLIENT, tree, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--no-index", "--no-build-isolation", "--target", installed, tree]
    subprocess.run(pip, check=True, capture_output=True, text=True)
    assert (installed / "upscaled_client" / "py.typed").exists()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import upscaled_client as it; print(it.__file__);"
        "print([name for name in ('torch', 'numpy', 'fastapi', 'service', 'worker') if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code, installed], check=True, capture_output=True, text=True
    )
    assert loaded.stdout.splitlines() == [str(installed / "upscaled_client" / "__init__.py"), "[]"]


def test_the_command_line_brings_what_the_client_needs() -> None:
    """Both give the package, so that neither has to find the other on an index."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    assert set(client["dependencies"]) <= {*whole["dependencies"], *whole["optional-dependencies"]["cli"]}
    assert client["version"] == whole["version"]
