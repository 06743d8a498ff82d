"""Traces: OpenTelemetry spans of a request and of all that comes of it, where `UPSCALED_TRACES` asks for it.

    API      POST /upscale     FastAPI's own span; the job's record keeps its place (`Job.traceparent`)
    worker   wait, plan, segment ..., assemble; picture; estimate     under it, whoever takes them

A message only wakes a worker, which takes the step whose turn it is, so the place can't come with the
message. Where spans go, how many are kept and what the process is called say the standard `OTEL_*` variables.
Without `UPSCALED_TRACES` nothing of OpenTelemetry is imported here. Not here: which steps there are
(worker/job/tracing.py).
"""

import threading
import time
from typing import TYPE_CHECKING, Final

from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

FLUSH_S_MAX: Final = 3.0  # at a process's end; a collector that is away must not hold that up
PREFIX: Final = "upscaled."  # of our attributes

Fact = str | int | float | None


class Span:
    """A span, or none: then all of this does nothing."""

    def __init__(self, span: "trace.Span | None" = None) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        """Its place in its trace, as W3C Trace Context writes it; None where nobody looks."""
        if self._span is None:
            return None
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - of the extra
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(self._span))
        return carrier.get("traceparent")

    def note(self, **facts: Fact) -> None:
        """Add what is known by now."""
        if self._span is not None:
            self._span.set_attributes(_attributes(facts))

    def end(self, error: BaseException | None = None) -> None:
        """At most once; with the error that ended what it stands for."""
        span, self._span = self._span, None
        if span is None:
            return
        if error is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415

            span.record_exception(error)
            span.set_status(StatusCode.ERROR, str(error))
        span.end()


class Traces:
    """Of one process. Threads may share it."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self.provider = provider
        self._tracer = None if provider is None else provider.get_tracer("upscaled")

    def current(self) -> Span:
        """Of the request that is being answered."""
        if self._tracer is None:
            return Span()
        from opentelemetry import trace  # noqa: PLC0415

        return Span(trace.get_current_span())

    def begin(self, name: str, parent: str | None, *, began_at: float | None = None, **facts: Fact) -> Span:
        """A span below that place in a trace; none where the place is none.

        began_at   seconds since 1970, where it was not just now
        """
        if self._tracer is None or parent is None:
            return Span()
        from opentelemetry.trace import SpanKind  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        now = time.time()  # a span that began at another host's time must not end before that
        return Span(
            self._tracer.start_span(
                name,
                context=TraceContextTextMapPropagator().extract({"traceparent": parent}),
                kind=SpanKind.CONSUMER,
                attributes=_attributes(facts),
                start_time=int(min(now, now if began_at is None else began_at) * 1e9),
            )
        )

    def close(self) -> None:
        """Send what is left, for FLUSH_S_MAX at most."""
        if self.provider is not None:
            # The library's own time-outs are longer, and no setting reaches all of them.
            sending = threading.Thread(target=self.provider.shutdown, name="traces", daemon=True)
            sending.start()
            sending.join(FLUSH_S_MAX)


OFF: Final = Traces()


def open_traces(settings: Settings, process: str) -> Traces:
    """What the settings ask for. No connection is made before the first span ends.

    process   what it is called where `OTEL_SERVICE_NAME` says nothing
    """
    if settings.traces == "off":
        return OFF
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": f"upscaled-{process}"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # `close` does, and sooner gives up
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


def _attributes(facts: dict[str, Fact]) -> dict[str, str | int | float]:
    return {f"{PREFIX}{name}": fact for name, fact in facts.items() if fact is not None}
