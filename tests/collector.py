"""A collector of traces: a real OTLP/HTTP receiver on loopback that keeps the spans it is sent."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Seen:
    """A span as it came in."""

    service: str
    name: str
    trace_id: str
    id: str
    parent_id: str  # empty for none
    began_ns: int
    ended_ns: int
    facts: dict[str, Any]
    is_error: bool
    events: list[str]


class Collector:
    """`with Collector() as collector`; where `is_silent` it takes everything and never answers."""

    def __init__(self, *, is_silent: bool = False) -> None:
        self.spans: list[Seen] = []
        self.requests = 0
        self._closing = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.requests += 1
                if is_silent:
                    collector._closing.wait()
                    return
                assert self.path == "/v1/traces", self.path
                collector.spans.extend(_spans_of(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def of_trace(self, trace_id: str) -> list[Seen]:
        """By when they began."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda s: s.began_ns)


def _spans_of(body: bytes) -> list[Seen]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.trace.v1.trace_pb2 import Status

    return [
        Seen(
            service=_facts(resource.resource.attributes)["service.name"],
            name=span.name,
            trace_id=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            began_ns=span.start_time_unix_nano,
            ended_ns=span.end_time_unix_nano,
            facts=_facts(span.attributes),
            is_error=span.status.code == Status.STATUS_CODE_ERROR,
            events=[event.name for event in span.events],
        )
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _facts(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
