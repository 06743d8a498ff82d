"""Configuration, rules and dashboard: valid, tested, and about metrics that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, Field

from service import metrics
from service.errors import FaultError, InputError, UpscaleError
from tests.docker.conftest import ROOT, Promtool

PROMETHEUS = ROOT / "docker" / "prometheus"
DASHBOARD = ROOT / "docker" / "grafana" / "dashboards" / "upscaled.json"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]
OF_OTHERS = {"up", "ALERTS", "process_start_time_seconds", "process_resident_memory_bytes"}
# What stands in PromQL and is no metric: functions, operators and their words.
WORDS = set(re.findall(r"\w+", "sum max min count on and or rate increase changes vector histogram_quantile"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_is_content(promtool: Promtool, arguments: tuple[str, ...]) -> None:
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_we_show_is_named_as_prometheus_advises(promtool: Promtool) -> None:
    done = promtool("check", "metrics", stdin=generate_latest().decode())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    keeps_still = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == set(ALERTS)
    assert keeps_still >= set(ALERTS)


def test_every_alert_has_its_paragraph_in_the_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert re.findall(r"^\*\*(\w+)\*\*", page, re.MULTILINE) == ALERTS


def test_our_faults_are_just_those_of_the_rule() -> None:
    [rule] = [rule for rule in RULES if rule.get("record") == "upscaled:job_faults:ratio30m"]
    found = re.search(r'reason=~"([^"]+)"', rule["expr"])
    assert found
    ours = {error.code for error in subclasses(FaultError) if error.__module__.startswith("service.")}
    assert set(found[1].split("|")) == (ours | {UpscaleError.code}) - {"temporarily_unavailable"}
    assert not set(found[1].split("|")) & {error.code for error in subclasses(InputError)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    assert asked_for(rule["expr"]) <= shown()


def test_the_dashboard_asks_for_metrics_that_exist(promtool: Promtool, tmp_path: Path) -> None:
    expressions = [target.expr for panel in dashboard().panels for target in panel.targets]
    assert expressions
    for expression in expressions:
        assert asked_for(expression) <= shown(), expression
    rules = [
        {"record": f"r{index}", "expr": expression.replace("$__rate_interval", "1m")}
        for index, expression in enumerate(expressions)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_of_ours_is_on_the_dashboard_or_in_a_rule() -> None:
    asked = set().union(
        *(asked_for(rule["expr"]) for rule in RULES),
        *(asked_for(target.expr) for panel in dashboard().panels for target in panel.targets),
    )
    nobody_looks = {name for name, series in series_by_metric().items() if not series & asked}
    assert nobody_looks == set()


def test_panels_neither_overlap_nor_leave_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard().panels:
        place = panel.gridPos
        cells = {(place.x + i, place.y + j) for i in range(place.w) for j in range(place.h)}
        assert place.x + place.w <= 24
        assert not cells & taken, panel.title
        taken |= cells
    ids = [panel.id for panel in dashboard().panels]
    assert len(ids) == len(set(ids))


# The part of Grafana's dashboard format that ours uses; a key that is not here is refused.


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Source(Strict):
    type: Literal["prometheus"]
    uid: Literal["prometheus"]  # docker/grafana/datasources/prometheus.yml


class Target(Strict):
    refId: str  # noqa: N815 - as Grafana names it
    datasource: Source
    expr: str = Field(min_length=1)
    legendFormat: str = ""  # noqa: N815
    format: Literal["time_series", "table"] = "time_series"
    instant: bool = False


class Place(Strict):
    h: int = Field(ge=1)
    w: int = Field(ge=1, le=24)
    x: int = Field(ge=0)
    y: int = Field(ge=0)


class Panel(Strict):
    id: int
    type: Literal["row", "stat", "timeseries", "table"]
    title: str = Field(min_length=1)
    description: str = ""
    gridPos: Place  # noqa: N815
    datasource: Source | None = None
    fieldConfig: dict[str, Any] = {}  # noqa: N815
    options: dict[str, Any] = {}
    targets: list[Target] = []
    collapsed: bool = False
    panels: list["Panel"] = []


class Dashboard(Strict):
    uid: str
    title: str
    tags: list[str]
    schemaVersion: int = Field(ge=36)  # noqa: N815
    version: int
    editable: Literal[False]
    timezone: str
    refresh: str
    time: dict[str, str]
    templating: dict[str, Any]
    annotations: dict[str, Any]
    panels: list[Panel] = Field(min_length=1)


def dashboard() -> Dashboard:
    return Dashboard.model_validate(json.loads(DASHBOARD.read_text()))


def series_by_metric() -> dict[str, set[str]]:
    """What each metric of ours is called on the wire."""
    endings = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
    return {
        metric._name: {metric._name + ending for ending in endings[type(metric)]}
        for metric in vars(metrics).values()
        if isinstance(metric, Counter | Gauge | Histogram)
    }


def shown() -> set[str]:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    return recorded.union(OF_OTHERS, *series_by_metric().values())


def asked_for(expression: str) -> set[str]:
    """The names of metrics in PromQL: what is left without strings, labels, durations and words."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(by|without|on)\s*\([^)]*\)', " ", expression)
    return set(re.findall(r"\b[a-zA-Z_][\w:]*\b", bare)) - WORDS


def subclasses(kind: type[UpscaleError]) -> set[type[UpscaleError]]:
    import service.objects.base  # noqa: F401 - it has errors of its own

    below = set(kind.__subclasses__())
    return below.union(*(subclasses(each) for each in below))


def test_amtool_or_not_the_receivers_of_alertmanager_exist() -> None:
    config = yaml.safe_load((ROOT / "docker" / "alertmanager" / "alertmanager.yml").read_text())
    known = {receiver["name"] for receiver in config["receivers"]}
    used = {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])}
    assert used == known
    named = set(re.findall(r"[A-Z]\w+", " ".join(str(rule) for rule in config["inhibit_rules"])))
    assert named <= set(ALERTS)


def test_the_check_can_be_asked_for_help() -> None:
    done = subprocess.run([ROOT / "scripts" / "compose-check", "--help"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
