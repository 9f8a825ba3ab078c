"""The spans of one call: the server's, one for each phase, and the client's around the call to the predictor.

headers of the caller -> server span -> phases; client span -> headers for the predictor -> its server span -> ...
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import propagate
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.util.types import AttributeValue

from tandem.errors import TandemError
from tandem.inference import Call

log = logging.getLogger("tandem.tracing")

FLUSH = 2.0  # seconds that a stopping service waits for its collector at most
_HTTP_STATUS = "http.response.status_code"
_LONGEST = 256  # characters of a text that callers have a part in
_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class Tracing:
    """Opens a trace for each call, and closes the exporters at the end."""

    def __init__(self, provider: TracerProvider, version: str) -> None:
        self._provider = provider
        self.tracer = provider.get_tracer("tandem", version)
        self.propagator = propagate.get_global_textmap()

    def begin(self, protocol: str, route: str, headers: Mapping[str, str]) -> Trace:
        """The trace of a call that has come, within its caller's if the headers say so."""
        caller = self.propagator.extract(headers, Context(), _HEADERS)
        name, attributes = server_side(protocol, route)
        span = self.tracer.start_span(name, caller, SpanKind.SERVER, attributes)
        return Trace(self, span, set_span_in_context(span, caller), protocol)

    async def close(self) -> None:
        """Export what is left, in the time that there is for it."""
        flushing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        flushing.start()
        await asyncio.to_thread(flushing.join, FLUSH)
        if flushing.is_alive():
            log.warning("the last spans are lost: no collector took them within %g s", FLUSH)


class Trace:
    """The spans of one call. Its server's is the current one from here to `end`, in the task that made this."""

    def __init__(self, tracing: Tracing, span: Span, context: Context, protocol: str) -> None:
        self._tracing = tracing
        self._span = span
        self._context = context
        self._protocol = protocol
        self._token = attach(context)
        self.recorded = span.is_recording()  # the sampler's choice, and all of the trace's
        identity = span.get_span_context()
        self.trace_id = f"{identity.trace_id:032x}"
        self.exemplar = {"trace_id": self.trace_id} if identity.trace_flags.sampled else None
        self.fields = tracing.propagator.fields

    def phase(self, name: str) -> AbstractContextManager[object]:
        """A span around a phase, within the current one; in a thread that knows of none, within the server's."""
        if not self.recorded:
            return nullcontext()
        around = None if get_current_span().get_span_context().is_valid else self._context
        return self._tracing.tracer.start_as_current_span(name, around)

    def past(
        self,
        name: str,
        start: float,
        end: float,
        parent: Span | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Span:
        """A span of what is over already; `start` and `end` as time.perf_counter() has them."""
        epoch = time.time_ns() - time.perf_counter_ns()
        context = set_span_in_context(parent) if parent else self._context
        tracer = self._tracing.tracer
        span = tracer.start_span(name, context, attributes=attributes, start_time=epoch + int(start * 1e9))
        span.end(epoch + int(end * 1e9))
        return span

    @contextmanager
    def calling(self, name: str, attributes: Mapping[str, AttributeValue]) -> Iterator[None]:
        """A client's span around a call to the predictor."""
        tracer = self._tracing.tracer
        with tracer.start_as_current_span(
            name, None, SpanKind.CLIENT, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                other = "INTERNAL" if isinstance(error, Exception) else "CANCELLED"
                _fail(span, error.status.name if isinstance(error, TandemError) else other, error)
                raise

    def note(self, name: str, value: AttributeValue) -> None:
        """An attribute of the current span."""
        get_current_span().set_attribute(name, value)

    def headers(self) -> dict[str, str]:
        """What tells the predictor which span is its parent: the current one."""
        carrier: dict[str, str] = {}
        self._tracing.propagator.inject(carrier)
        return carrier

    def fail(self, code: str, error: BaseException) -> None:
        """The call failed; `code` is a gRPC status name on both doors. What is the caller's fault is no error here."""
        if code in _FAULTS:
            _fail(self._span, code, error)
        if self._protocol == "http" and isinstance(error, Exception):  # else nobody is there to get a status
            status = error.http_status if isinstance(error, TandemError) else 500
            self._span.set_attribute(_HTTP_STATUS, status)

    def end(self, call: Call, code: str) -> None:
        """The call is over."""
        detach(self._token)
        if self.recorded:
            self._describe(call, code)
        self._span.end()

    def _describe(self, call: Call, code: str) -> None:
        self._span.set_attribute("tandem.model.name", call.model)
        self._span.set_attribute("tandem.model.version", call.model_version)
        self._span.set_attribute("tandem.request.id", _text(call.id))
        if call.batch_rows:
            self._span.set_attribute("tandem.batch.rows", call.batch_rows)
        if self._protocol == "grpc":
            self._span.set_attribute("rpc.response.status_code", code)
        elif code == "OK":
            self._span.set_attribute(_HTTP_STATUS, 200)


class _Headers(Getter[Mapping[str, str]]):
    """Headers as a propagator asks for them; it fails on one that is no ASCII."""

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        found = carrier.get(key)
        return [found] if found and found.isascii() else None

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


_HEADERS = _Headers()


def server_side(protocol: str, route: str) -> tuple[str, Mapping[str, AttributeValue]]:
    """Name and attributes of a server's span. Source: OpenTelemetry's semantic conventions for HTTP and RPC."""
    if protocol == "http":
        return f"POST {route}", {"http.request.method": "POST", "http.route": route}
    return route, {"rpc.system.name": "grpc", "rpc.method": route}


def _fail(span: Span, code: str, error: BaseException | None) -> None:
    span.set_attribute("error.type", code)
    span.set_status(StatusCode.ERROR, _text(error.message) if isinstance(error, TandemError) else None)


def _text(text: str) -> str:
    """`text` as the exporter can write it: one that it cannot would lose a whole batch of spans."""
    return text[:_LONGEST].encode(errors="replace").decode()
