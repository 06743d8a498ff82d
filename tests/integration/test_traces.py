"""Traces of a whole service: one from the request over every step, and a collector that is no help."""

import time
from pathlib import Path

import pytest

from tests.collector import Collector, Seen
from tests.integration.running import Running
from tests.servers import free_ports
from tests.service.api.samples import png
from tests.worker.media.clips import make_clip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
FRAMES, SEGMENT = 20, 5
CALLER = ("a1" * 16, "b2" * 8)
SETTINGS = {
    "traces": "otlp",
    "segment_frames_max": SEGMENT,
    "default_video_model": "bicubic",
    "default_image_model": "bicubic",
}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", FRAMES, width=64, height=48)


def test_one_trace_leads_from_the_request_over_every_step(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown comes with the end of the processes alone, so both of them send what they hold."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
        with Running(tmp_path / "data", free_ports(1)[0], **SETTINGS) as service:
            film = service.post(clip)
            given = {"traceparent": f"00-{CALLER[0]}-{CALLER[1]}-01"}
            answer = service.http.post("/upscale", files={"file": ("a.png", png())}, headers=given)
            picture = answer.json()["id"]
            answer = service.http.post("/estimate", files={"file": ("clip.mp4", clip.read_bytes())})
            estimate = answer.json()["id"]
            refused = service.http.post("/upscale", files={"file": ("b.png", png(64, 64)[:60])}).json()["id"]
            for job_id in (film, picture, estimate, refused):
                service.finished(job_id)
            assert not collector.spans

    request, *steps = trace_of(collector, film)
    assert request.parent_id == ""
    assert (request.service, request.name) == ("upscaled-api", "POST /upscale")
    assert {(step.service, step.parent_id) for step in steps} == {("upscaled-worker", request.id)}
    segments = [step for step in steps if step.name == "segment"]
    assert [step.name for step in steps] == ["wait", "plan", *["segment"] * 4, "assemble"]
    assert [step.facts["upscaled.segment"] for step in segments] == [0, 1, 2, 3]
    assert {step.facts["upscaled.frames"] for step in segments} == {SEGMENT}
    for step in steps[1:]:
        assert step.facts["upscaled.model"] == "bicubic", step
        assert step.facts["upscaled.attempt"] == 1, step
        assert not step.is_error, step
    assert all(span.ended_ns >= span.began_ns for span in [request, *steps])

    request, *steps = trace_of(collector, picture)
    assert (request.trace_id, request.parent_id) == CALLER
    assert [step.name for step in steps] == ["wait", "picture"]
    assert [step.parent_id for step in steps] == [request.id] * 2
    assert steps[1].facts["upscaled.frames"] == 1

    request, *steps = trace_of(collector, estimate)
    assert request.name == "POST /estimate"
    assert [step.name for step in steps] == ["wait", "estimate"]
    assert steps[1].facts["upscaled.frames"] == FRAMES

    failed = trace_of(collector, refused)[-1]
    assert failed.is_error
    assert failed.events == ["exception"]

    # Looks at jobs, of which there were many, make no traces of their own.
    assert len(collector.spans) == 8 + 3 + 3 + 3


def test_a_collector_that_never_answers_delays_no_job_and_no_end(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector(is_silent=True) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with Running(tmp_path / "data", free_ports(1)[0], **SETTINGS) as service:
            for _ in range(3):
                assert service.finished(service.post(clip), within_s=30)["state"] == "succeeded"
            assert collector.requests > 0
            asked_at = time.monotonic()
            service.interrupt()
            assert time.monotonic() - asked_at < 15  # API and worker one after the other, 3 s for each
    assert "Traceback" not in service.log


def trace_of(collector: Collector, job_id: str) -> list[Seen]:
    """Of the request that made the job, which comes first."""
    (request,) = (
        span
        for span in collector.spans
        if span.facts.get("upscaled.job") == job_id and span.service == "upscaled-api"
    )
    first, *others = collector.of_trace(request.trace_id)
    assert first == request
    return [first, *others]
