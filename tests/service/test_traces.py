"""Traces that are off cost nothing, and ask for nothing to be installed."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import ValidationError

from service.settings import Settings
from service.traces import Traces, open_traces

PARENT = "00-" + "a1" * 16 + "-" + "b2" * 8 + "-01"


def test_nothing_is_imported_where_traces_are_off() -> None:
    # Not the SDK: redis imports that by itself where it is installed.
    code = (
        "import sys, service.api.app, worker.process.main\n"
        "from service.settings import Settings\n"
        "from service.traces import open_traces\n"
        "traces = open_traces(Settings(), 'worker')\n"
        "traces.begin('plan', None).end(ValueError('x')); traces.current().note(job='x'); traces.close()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.exporter')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


class Absent:
    """A finder by which the exporter is not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(name)


def test_traces_without_their_packages_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(ValidationError, match=r"pip install 'upscaled\[traces\]'"):
        Settings(traces="otlp")


def test_the_environment_names_the_process_before_we_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def name() -> object:
        traces = open_traces(Settings(traces="otlp"), "api")
        assert traces.provider is not None
        traces.close()
        return traces.provider.resource.attributes["service.name"]

    assert name() == "upscaled-api"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures")
    assert name() == "pictures"


def test_a_job_that_nobody_traced_has_no_spans() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = Traces(provider).begin("plan", None, job="x")
    assert span.traceparent is None
    span.end()
    Traces(provider).begin("plan", PARENT, job="x").end()
    (only,) = exporter.get_finished_spans()
    assert only.parent is not None
    assert f"{only.parent.trace_id:032x}-{only.parent.span_id:016x}" in PARENT
