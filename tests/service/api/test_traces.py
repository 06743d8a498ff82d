"""What a request's trace leaves in the record of its job, and which requests are traced."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.traces import OFF, Traces
from tests.service.api.harness import Service
from tests.service.api.samples import png
from tests.service.test_traces import PARENT


@pytest.mark.parametrize("is_on", [True, False])
def test_the_record_of_a_job_keeps_the_place_of_its_request(service: Service, *, is_on: bool) -> None:
    exporter, traces = InMemorySpanExporter(), OFF
    if is_on:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        traces = Traces(provider)
    app = service.traced(traces)
    given = {"traceparent": PARENT}
    answer = service.run(
        lambda http: http.post("/upscale", files={"file": ("a.png", png())}, headers=given), app
    )
    job = service.store.get(answer.json()["id"])
    assert "traceparent" not in answer.text
    if not is_on:
        assert job.traceparent is None
        return
    (request,) = exporter.get_finished_spans()
    assert request.context is not None
    assert job.traceparent == f"00-{'a1' * 16}-{request.context.span_id:016x}-01"
    assert request.attributes is not None
    assert request.attributes["upscaled.job"] == job.id
    service.run(lambda http: http.get(f"/jobs/{job.id}"), app)
    assert len(exporter.get_finished_spans()) == 1
    service.run(lambda http: http.get(f"/jobs/{job.id}", headers=given), app)
    assert len(exporter.get_finished_spans()) == 2
