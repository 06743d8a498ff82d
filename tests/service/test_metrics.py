"""The metrics as Prometheus sees them, from one process and from several."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram, generate_latest

from service import metrics

ALL = [value for value in vars(metrics).values() if isinstance(value, Counter | Gauge | Histogram)]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric._name)
def test_names_tell_the_project_and_the_unit(metric):
    assert re.fullmatch(r"upscaled_[a-z_]+", metric._name)
    assert metric._documentation.endswith(".")
    if isinstance(metric, Histogram) and "batch" not in metric._name:
        assert metric._name.endswith("_seconds")


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric._name)
def test_no_label_can_grow_without_bound(metric):
    bounded = {
        "method",
        "route",
        "status",
        "state",
        "step",
        "kind",
        "action",
        "reason",
        "stage",
        "model",
        "outcome",
    }
    if metric is metrics.MODEL_INFO:  # it is cleared before each look
        bounded |= {"version", "precision"}
    assert set(metric._labelnames) <= bounded


def test_no_metric_is_declared_that_nobody_sets():
    sources = "\n".join(
        path.read_text()
        for package in ("service", "worker")
        for path in (ROOT / package).rglob("*.py")
        if path != Path(metrics.__file__)
    )
    by_name = {name: value for name, value in vars(metrics).items() if value in ALL}
    assert [name for name in by_name if not re.search(rf"metrics\.{name}\b", sources)] == []


@pytest.mark.parametrize("metric", [m for m in ALL if isinstance(m, Gauge)], ids=lambda metric: metric._name)
def test_gauges_of_dead_processes_do_not_pile_up(metric):
    assert metric._multiprocess_mode == "livemostrecent"


def test_what_is_counted_is_shown():
    metrics.STAGE_SECONDS.labels("flow").observe(0.25)
    metrics.MODEL_LOAD_FAILURES.labels("light").inc()
    text = generate_latest().decode()
    assert 'upscaled_stage_seconds_count{stage="flow"}' in text
    assert 'upscaled_model_load_failures_total{model="light"}' in text


def test_several_processes_are_added_up_by_whichever_is_asked(tmp_path):
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = "from service import metrics; metrics.UPLOAD_BYTES.inc(100); metrics.JOBS.labels('queued').set(3)"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", count], env=environment, check=True, cwd=ROOT)
    show = (
        "from prometheus_client import CollectorRegistry, generate_latest\n"
        "from prometheus_client.multiprocess import MultiProcessCollector\n"
        "registry = CollectorRegistry(); MultiProcessCollector(registry)\n"
        "print(generate_latest(registry).decode())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", show], env=environment, check=True, cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert "upscaled_upload_bytes_total 200.0" in shown
