"""compose.yaml, the images' files and .env.example: they agree with each other and with the code."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service import serve
from service.settings import ENVIRONMENT_PREFIX, Settings
from tests.docker.conftest import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker")
LOCKED = ("api", "worker", "traces", "training")  # extras that some image has
IMAGE = {
    "python_version": "3.11",
    "python_full_version": "3.11.9",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?::?-([^}]*))?\}")


@pytest.fixture
def configured(compose: list[str]) -> Callable[..., dict[str, Any]]:
    """What `docker compose config` makes of the files, with nothing set."""

    def read(*files: str) -> dict[str, Any]:
        flags = [text for name in files for text in ("-f", name)]
        profiles = ["--profile", "monitoring", "--profile", "train"]
        done = subprocess.run(
            [*compose, "--env-file", "/dev/null", *flags, *profiles, "config", "--format", "json"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return read


def test_compose_accepts_the_project_and_its_override(configured: Callable[..., dict[str, Any]]) -> None:
    assert set(configured("compose.yaml")["services"]) == set(SERVICES)
    worker = configured("compose.yaml", "compose.gpu.yaml")["services"]["worker"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert worker["environment"]["UPSCALED_DEVICE"] == "cuda"
    assert worker["deploy"]["resources"]["limits"]["memory"]


def test_only_the_api_is_published_and_all_on_loopback(configured: Callable[..., dict[str, Any]]) -> None:
    services = configured("compose.yaml")["services"]
    published = {name: each["ports"] for name, each in services.items() if each.get("ports")}
    assert {name for name in published if "monitoring" not in SERVICES[name].get("profiles", [])} == {"api"}
    assert {port["host_ip"] for ports in published.values() for port in ports} == {"127.0.0.1"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    if name != "setup":  # it gives volumes to those who write in them, and sees no network
        assert "cap_add" not in service
    else:
        assert service["network_mode"] == "none"


@pytest.mark.parametrize(
    "name", [name for name, each in SERVICES.items() if each["restart"] == "unless-stopped"]
)
def test_what_stays_up_is_watched_bounded_and_given_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert "healthcheck" in service or "build" in service, "images of ours bring their own"
    assert service["deploy"]["resources"]["limits"].keys() >= {"memory", "pids"}


def test_a_worker_is_given_longer_to_stop_than_it_takes() -> None:
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > serve.WORKER_STOP_S_MAX
    assert seconds(SERVICES["api"]["stop_grace_period"]) > serve.API_STOP_S_MAX
    assert seconds(SERVICES["valkey"]["stop_grace_period"]) > serve.VALKEY_STOP_S_MAX


def test_images_of_others_are_pinned() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":[\w.${}:-]*\d", service["image"]), f"{name}: {service['image']}"


def test_services_get_no_setting_that_nobody_reads() -> None:
    known = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    for service in SERVICES.values():
        assert {name for name in service.get("environment", {}) if name.startswith("UPSCALED_")} <= known


def test_the_example_of_settings_is_what_the_code_says() -> None:
    command = [sys.executable, ROOT / "scripts" / "env_example.py", "--check"]
    check = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert check.returncode == 0, f"{check.stderr}\nrun: make docs"


def test_the_example_has_each_variable_of_compose_with_its_default() -> None:
    text = "".join((ROOT / name).read_text() for name in ("compose.yaml", "compose.gpu.yaml"))
    used = {name: default or "" for name, default in VARIABLE.findall(text)}
    shown = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {name: shown.get(name) for name in used} == used
    assert {name for name in shown if not name.startswith(ENVIRONMENT_PREFIX)} <= used.keys()


def test_a_copy_of_the_example_with_every_line_taken_in_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(
        r"^#(UPSCALED_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE
    ):
        monkeypatch.setenv(name, value)
    assert Settings().s3_endpoint_url == "http://s3:8333"
    assert Settings().redis_url == Settings.model_fields["redis_url"].default  # empty: left to the secrets


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_name_the_version_of_the_project_and_run_without_root(name: str) -> None:
    text = (ROOT / "docker" / name).read_text()
    assert set(re.findall(r"^ARG VERSION=(.*)$", text, re.MULTILINE)) == {PROJECT["version"]}
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)
    for stage in stages:
        if "ENTRYPOINT" in stage:
            assert "USER 10001:10001" in stage
            assert "org.opencontainers.image.version" in stage
            assert '["tini", "--"' in stage


@pytest.mark.parametrize("name", DOCKERFILES)
def test_libraries_are_installed_before_the_code_comes(name: str) -> None:
    text = (ROOT / "docker" / name).read_text()
    assert text.index("-r requirements.txt") < text.index("COPY service service")


def test_the_requirements_of_an_image_are_those_of_its_extras() -> None:
    def asked(*extras: str) -> set[str]:
        command = [sys.executable, ROOT / "docker" / "requirements.py", *extras]
        return set(subprocess.check_output(command, cwd=ROOT, text=True).split("\n")) - {""}

    extras = PROJECT["optional-dependencies"]
    assert asked("api", "traces") == {*PROJECT["dependencies"], *extras["api"], *extras["traces"]}
    assert asked("training") >= {*PROJECT["dependencies"], *extras["worker"]}
    assert not any("upscaled" in requirement for requirement in asked("training"))


def test_images_install_what_is_locked_and_the_lock_fits_what_the_project_asks_for() -> None:
    """`make lock` makes it of the same lines. A pin may be of some Pythons or machines only."""
    lines = (ROOT / "docker" / "lock.txt").read_text().splitlines()
    locked = [Requirement(line) for line in lines if not line.startswith(("#", " "))]
    pins = {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in locked
        if each.marker is None or each.marker.evaluate(IMAGE)
    }
    asked = {*PROJECT["dependencies"]}.union(*(PROJECT["optional-dependencies"][name] for name in LOCKED))
    for requirement in map(Requirement, asked):
        if requirement.name != PROJECT["name"] and (
            requirement.marker is None or requirement.marker.evaluate(IMAGE)
        ):
            pin = pins[canonicalize_name(requirement.name)]
            assert pin in requirement.specifier, f"{requirement}, locked {pin}: run make lock"
    for name in DOCKERFILES:
        installs = re.findall(r"install [^&]*?-r \S+.*", (ROOT / "docker" / name).read_text())
        assert installs
        assert all("lock.txt" in each for each in installs), installs


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])
