"""A small OTLP collector, over HTTP and gRPC, that can be waited for, and the trees of what it has received."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

PATIENCE = 20.0
KINDS = {Span.SPAN_KIND_SERVER: "server", Span.SPAN_KIND_CLIENT: "client", Span.SPAN_KIND_INTERNAL: "internal"}


@dataclass(frozen=True)
class Seen:
    """A span as it came."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / 1e9


class Collector(pb_grpc.TraceServiceServicer):
    """Every span that was exported to it."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.requests = 0
        self.http_port = self.grpc_port = 0
        self._changed = threading.Condition()

    def Export(self, request: pb.ExportTraceServiceRequest, context: object) -> pb.ExportTraceServiceResponse:  # noqa: N802 - gRPC's name
        with self._changed:
            self.spans += _spans(request)
            self.requests += 1
            self._changed.notify_all()
        return pb.ExportTraceServiceResponse()

    def environ(self, protocol: str = "http/protobuf") -> dict[str, str]:
        """What a service is told, to export here and soon."""
        port = self.grpc_port if protocol == "grpc" else self.http_port
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def of(self, trace: str) -> list[Seen]:
        return [span for span in self.spans if span.trace == trace]

    def trace(self, trace: str, spans: int) -> list[Seen]:
        """The trace once it has that many spans; fails if it gets no more."""
        self.until(lambda: len(self.of(trace)) >= spans, lambda: tree(self.of(trace)))
        return self.of(trace)

    def until(self, found: Callable[[], Any], shown: Callable[[], str] = str) -> Any:
        """What `found` gives once it is true."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while not (result := found()):
                assert self._changed.wait(end - time.monotonic()), f"the spans never came; so far:\n{shown()}"
        return result


@contextmanager
def collecting(http_port: int = 0) -> Iterator[Collector]:
    """A collector on free ports of this machine."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            known = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
            answer = collector.Export(pb.ExportTraceServiceRequest.FromString(body), None) if known else None
            self.send_response(200 if known else 404)
            data = answer.SerializeToString() if answer else b""
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
            pass

    http = ThreadingHTTPServer(("127.0.0.1", http_port), Handler)
    http.daemon_threads = True
    serving = threading.Thread(target=http.serve_forever, args=(0.05,))
    serving.start()
    server = grpc.server(ThreadPoolExecutor(2))
    pb_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.http_port, collector.grpc_port = http.server_address[1], server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
        http.shutdown()
        serving.join()
        http.server_close()


def tree(spans: list[Seen], parent: str = "", indent: str = "") -> str:
    """The spans below `parent` as an indented list, in the order of their beginnings; without one, all roots."""
    known = {span.id for span in spans}
    below = [span for span in spans if span.parent == parent or (not parent and span.parent not in known)]
    lines = []
    for span in sorted(below, key=lambda one: (one.start, one.end)):
        kind = "" if span.kind == "internal" else f" {span.kind}"
        lines.append(f"{indent}{span.name} [{span.service.removeprefix('tandem-')}{kind}]")
        lines += [rest] if (rest := tree(spans, span.id, indent + "  ")) else []
    return "\n".join(lines)


def _spans(request: pb.ExportTraceServiceRequest) -> Iterator[Seen]:
    for batch in request.resource_spans:
        resource = {item.key: _value(item.value) for item in batch.resource.attributes}
        for scope in batch.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=resource["service.name"],
                    name=span.name,
                    kind=KINDS[span.kind],
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    failed=span.status.code == Status.STATUS_CODE_ERROR,
                    attributes={item.key: _value(item.value) for item in span.attributes},
                    resource=resource,
                )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
