"""The tools that these tests ask, and the reason where one is missing."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

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


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docker/setup.py over folders in place of its volumes."""
    spec = importlib.util.spec_from_file_location("compose_setup", ROOT / "docker" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.KEYS, made.ROLES, made.OWNED = tmp_path / "keys", tmp_path / "roles", ()  # type: ignore[attr-defined]
    made.USER = made.VALKEY_USER = (os.getuid(), os.getgid())  # type: ignore[attr-defined]
    for folder in (made.KEYS, *(made.ROLES / role for role in (*made.S3, "s3", "valkey"))):
        folder.mkdir(parents=True)
    monkeypatch.delenv("UPSCALED_QUEUE", raising=False)
    monkeypatch.delenv("UPSCALED_S3_BUCKET", raising=False)
    return made
