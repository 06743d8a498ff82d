"""deploy/kubernetes: valid by Kubernetes' schemas, hardened, in agreement with settings, ports and compose.

Its custom resources (KEDA's, the Prometheus operator's) have no schema here: only their names are checked.
"""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import ENVIRONMENT_PREFIX, Settings
from tests.docker.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.33"
CUSTOM = {"ScaledObject", "ServiceMonitor", "PodMonitor"}
COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
Object = dict[str, Any]


def objects(text: str) -> list[Object]:
    return [found for found in yaml.safe_load_all(text) if found]


def of_base() -> Iterator[Object]:
    names = yaml.safe_load((FOLDER / "base" / "kustomization.yaml").read_text())["resources"]
    for name in names:
        yield from objects((FOLDER / "base" / name).read_text())


BASE = list(of_base())
DEPLOYMENTS = {each["metadata"]["name"]: each for each in BASE if each["kind"] == "Deployment"}


def made(overlay: str) -> list[Object]:
    """What `kubectl apply -k` would send; no cluster has to be there."""
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl to put the overlays together")
    command = ["kubectl", "kustomize", str(FOLDER / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def container(deployment: Object) -> Object:
    [only] = deployment["spec"]["template"]["spec"]["containers"]
    found: Object = only
    return found


def check(found: list[Object]) -> None:
    for each in found:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, VERSION, strict=True)


def test_the_base_is_valid_and_a_wrong_field_is_seen() -> None:
    check(BASE)
    with pytest.raises(kubernetes_validate.ValidationError):
        check([DEPLOYMENTS["api"] | {"spec": DEPLOYMENTS["api"]["spec"] | {"replica": 2}}])


@pytest.mark.parametrize(("overlay", "device"), [("cpu", "cpu"), ("gpu", "cuda")])
def test_each_overlay_is_valid_and_names_its_device(overlay: str, device: str) -> None:
    found = made(overlay)
    check(found)
    assert {each["kind"] for each in found} >= CUSTOM
    [settings] = [each["data"] for each in found if each["kind"] == "ConfigMap"]
    assert settings["UPSCALED_DEVICE"] == device
    assert {name.removeprefix(ENVIRONMENT_PREFIX).lower() for name in settings} <= set(Settings.model_fields)
    assert settings["UPSCALED_STORAGE"] == "s3"  # pods share no folder
    images = {container(each)["image"] for each in found if each["kind"] == "Deployment"}
    assert images == {COMPOSE[name]["image"].replace("${TAG:-0.1.0}", "0.1.0") for name in DEPLOYMENTS}


def test_the_gpu_overlay_asks_for_a_gpu() -> None:
    [worker] = [
        each for each in made("gpu") if each["kind"] == "Deployment" and each["metadata"]["name"] == "worker"
    ]
    assert container(worker)["resources"]["limits"]["nvidia.com/gpu"] == 1


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_pod_is_hardened_and_stops_as_compose_lets_it(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    secured = container(DEPLOYMENTS[name])["securityContext"]
    assert secured == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert not pod["enableServiceLinks"]
    assert f"{pod['terminationGracePeriodSeconds']}s" == COMPOSE[name]["stop_grace_period"]
    mounts = {mount["name"] for mount in container(DEPLOYMENTS[name])["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_probes_and_monitors_ask_where_the_processes_listen() -> None:
    ports = {name: container(each)["ports"][0] for name, each in DEPLOYMENTS.items()}
    assert ports["api"]["containerPort"] == Settings.model_fields["port"].default
    assert ports["worker"]["containerPort"] == Settings.model_fields["metrics_port"].default
    for name, deployment in DEPLOYMENTS.items():
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container(deployment)[probe]["httpGet"]
            assert asked["port"] == ports[name]["name"]
            assert asked["path"] in {"/healthz", "/readyz"}
    by_kind = {each["kind"]: each["spec"] for each in BASE if each["kind"] in CUSTOM}
    assert by_kind["ServiceMonitor"]["endpoints"][0]["port"] == ports["api"]["name"]
    assert by_kind["PodMonitor"]["podMetricsEndpoints"][0]["port"] == ports["worker"]["name"]
    assert by_kind["ScaledObject"]["scaleTargetRef"]["name"] == "worker"


def test_workers_scale_by_what_the_alerts_call_waiting() -> None:
    rules = yaml.safe_load((ROOT / "docker" / "prometheus" / "rules.yml").read_text())
    recorded = [rule for group in rules["groups"] for rule in group["rules"]]
    [waiting] = [rule["expr"] for rule in recorded if rule.get("record") == "upscaled:steps_waiting:max"]
    [scaled] = [each for each in BASE if each["kind"] == "ScaledObject"]
    assert scaled["spec"]["triggers"][0]["metadata"]["query"] == waiting
