"""From a span's end to a collector: OpenTelemetry's SDK, set up by its own variables.

span -> queue -> a thread of the SDK -> OTLP over HTTP or gRPC
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult

from tandem.tracing.activation import EXPORTERS
from tandem.tracing.spans import Tracing

log = logging.getLogger("tandem.tracing")

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_QUEUE = "opentelemetry.sdk._shared_internal"  # says, every 20 seconds at most, that its queue is full


def start(service: str, version: str, environ: Mapping[str, str]) -> Tracing:
    """Tracing that exports; raises ValueError on a variable's value that is none."""
    exporter, complaints = _exporter(environ), Complaints()
    defaults = Resource.create({"service.name": service, "service.version": version})
    # no thread is joined at exit: `Tracing.close` has waited as long as it may
    provider = TracerProvider(resource=defaults.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Watched(exporter, complaints)))
    trace.set_tracer_provider(provider)  # for the spans that a transformer makes of its own
    complaints.listen()
    log.info("tracing is on")
    return Tracing(provider, version)


def _exporter(environ: Mapping[str, str]) -> SpanExporter:
    name = environ.get(EXPORTERS, "").strip().lower() or "otlp"
    if name == "console":
        return ConsoleSpanExporter()
    if name != "otlp":
        raise ValueError(f"{EXPORTERS} is '{name}', expected otlp, console or none")
    protocol = next((environ[variable] for variable in PROTOCOLS if environ.get(variable)), "http/protobuf")
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as http  # noqa: PLC0415 - one is needed

        return http.OTLPSpanExporter()
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc  # noqa: PLC0415 - one is needed

        return grpc.OTLPSpanExporter()
    raise ValueError(f"{PROTOCOLS[1]} is '{protocol}', expected http/protobuf or grpc")


class Complaints(logging.Handler):
    """What OpenTelemetry logs: a line for each attempt, and for each odd header of a caller. Shown when debugging."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ""  # that an exporter made since this was emptied
        self.failing = False  # an exporter, which has been told

    def listen(self) -> None:
        """Take over what is logged from now on."""
        theirs = logging.getLogger("opentelemetry")
        theirs.addHandler(self)
        theirs.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        text = record.getMessage()
        if record.name.startswith("opentelemetry.exporter"):
            self.first = self.first or text
        worth_a_line = record.name == _QUEUE and not self.failing  # while it fails, the queue is full in any case
        log.log(record.levelno if worth_a_line else logging.DEBUG, "%s", text)


class Watched(SpanExporter):
    """An exporter. That it fails, and that it does so no longer, is one line each."""

    def __init__(self, exporter: SpanExporter, complaints: Complaints) -> None:
        self._exporter = exporter
        self._complaints = complaints

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Called by the SDK, in its thread."""
        self._complaints.first = ""
        result = self._exporter.export(spans)
        fails, failed = result is not SpanExportResult.SUCCESS, self._complaints.failing
        self._complaints.failing = fails
        if fails and not failed:
            log.warning("spans cannot be exported, and are dropped", extra={"reason": self._complaints.first[:400]})
        elif failed and not fails:
            log.info("spans are exported again")
        return result

    def shutdown(self) -> None:
        """Called by the SDK."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Called by the SDK."""
        return self._exporter.force_flush(timeout_millis)
