"""Spans of steps that are left, fail or are begun again. Of a whole job: tests/integration/test_traces.py."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.errors import StorageUnavailable
from service.jobs.model import Job
from service.traces import Traces
from tests.service.test_traces import PARENT
from tests.worker.job.test_picture import SMALL, made
from tests.worker.job.test_runner import FRAMES, SEGMENT, accept, after_frames, run
from tests.worker.media.clips import make_clip
from worker.job import runner
from worker.job.context import WorkerContext
from worker.job.steps import picture
from worker.offline import local


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(
    context: WorkerContext, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerContext]:
    """Whose jobs were made by a request that was traced."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(local, "Job", partial(Job, traceparent=PARENT))
    yield replace(context, traces=Traces(provider))
    provider.shutdown()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", FRAMES, width=72, height=48)


def facts(span: ReadableSpan) -> dict[str, object]:
    return {name.removeprefix("upscaled."): value for name, value in (span.attributes or {}).items()}


def test_a_segment_that_is_given_back_is_no_error_and_the_next_attempt_stands_beside_it(
    traced: WorkerContext, exporter: InMemorySpanExporter, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_frames(monkeypatch, SEGMENT + 2, traced.draining.set)
    job_id = accept(traced, clip)
    run(traced, job_id)
    left = exporter.get_finished_spans()[-1]
    assert left.name == "segment"
    assert left.status.is_ok or left.status.is_unset
    assert facts(left)["left"]
    assert facts(left)["segment"] == 1
    assert facts(left)["frames"] == 2 + 1
    traced.draining.clear()
    run(traced, job_id)
    names = [span.name for span in exporter.get_finished_spans()]
    assert names == ["wait", "plan", "segment", "segment", "segment", "segment", "assemble"]
    for span in exporter.get_finished_spans():
        assert span.parent is not None
        assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" in PARENT


def test_an_error_stands_in_the_span_and_a_second_attempt_says_that_it_is_one(
    traced: WorkerContext, exporter: InMemorySpanExporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = picture._read

    def fails(*_: object) -> None:
        raise StorageUnavailable("it went away")

    monkeypatch.setattr(picture, "_read", fails)
    job_id = accept(traced, made(tmp_path / "a.png"), SMALL)
    runner.run(traced, job_id, "plan")
    wait, first = exporter.get_finished_spans()
    assert (wait.name, first.name) == ("wait", "picture")
    assert not first.status.is_ok
    assert first.status.description == "it went away"
    assert [event.name for event in first.events] == ["exception"]
    monkeypatch.setattr(picture, "_read", read)
    monkeypatch.setattr(traced.store, "now", lambda: 4e9)  # the lease of the first is over
    runner.run(traced, job_id, "plan")
    _, _, second = exporter.get_finished_spans()
    assert facts(second)["attempt"] == 2
    assert facts(second)["model"] == "small"
