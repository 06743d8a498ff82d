"""The tools that these tests ask, and the reason where one is missing."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Promtool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Runs promtool in docker/prometheus."""
    tool = ROOT / ".tools" / "promtool"
    if not tool.exists():
        pytest.skip("promtool is not in .tools: `make test` puts it there where apt is at hand")

    def run(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(tool), *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=ROOT / "docker" / "prometheus",
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def compose() -> list[str]:
    """The command of docker's compose; no engine has to run."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker client")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the docker client has no compose")
    return ["docker", "compose"]
