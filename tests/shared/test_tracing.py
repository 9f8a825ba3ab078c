"""When spans are made, and what one call's are, whatever its headers say and however it ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span
from prometheus_client import CollectorRegistry
from tandem import errors
from tandem.doors.ledger import Ledger
from tandem.metrics import ServerMetrics
from tandem.tracing import activation
from tandem.tracing.exporting import Complaints, Watched
from tandem.tracing.spans import Tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
HTTP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}

pytestmark = pytest.mark.usefixtures("without_a_loop")


class Book:
    """A ledger whose calls are traced, and the spans that have ended."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        metrics = ServerMetrics(CollectorRegistry(), "fake", "1")
        limits = {"max_in_flight": 2, "max_bytes": 100, "default_timeout": None, "access_log": True}
        self.metrics = metrics
        self.ledger = Ledger(metrics, lambda: ["m"], **limits, tracing=Tracing(provider, "1"))

    def open(self, headers=SAMPLED, protocol="http"):
        return self.ledger.open(protocol, "m", headers, None, "/route")

    @property
    def spans(self):
        return self._exporter.get_finished_spans()


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        (HTTP, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (HTTP | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (HTTP | {"OTEL_TRACES_EXPORTER": ""}, True),
        (HTTP | {"OTEL_SDK_DISABLED": "True"}, False),
        (HTTP | {"OTEL_SDK_DISABLED": "false"}, True),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
    ],
)
def test_the_standard_variables_say_whether_there_are_spans(environ, wanted):
    assert activation.wanted(environ) is wanted
    assert wanted or activation.start("tandem-x", "1", environ) is None


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin', expected otlp, console or none"),
        (
            HTTP | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json', expected http/protobuf or grpc",
        ),
    ],
)
def test_what_cannot_be_is_a_warning_and_no_reason_not_to_serve(environ, words, caplog):
    assert activation.start("tandem-x", "1", environ) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0] == f"tracing is off, though OTEL_* variables ask for it: {words}"


@pytest.mark.parametrize(
    ("error", "http", "code"),
    [
        (None, 200, "OK"),
        (errors.InvalidInput("x"), 400, "INVALID_ARGUMENT"),
        (errors.Overloaded("x"), 429, "RESOURCE_EXHAUSTED"),
        (errors.Unavailable("x"), 503, "UNAVAILABLE"),
        (errors.DeadlineExceeded("x"), 504, "DEADLINE_EXCEEDED"),
        (errors.Internal("x"), 500, "INTERNAL"),
        (ValueError("x"), 500, "INTERNAL"),
        (asyncio.CancelledError(), None, "CANCELLED"),
    ],
)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_servers_span_has_the_outcome_and_is_an_error_where_the_server_is_at_fault(error, http, code, protocol):
    book = Book()
    with pytest.raises(type(error)) if error else nullcontext(), book.open(protocol=protocol):
        if error:
            raise error
    (span,) = book.spans
    ours = code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL")
    assert (span.status.status_code is StatusCode.ERROR) is ours
    assert span.attributes.get("error.type") == (code if ours else None)
    assert span.attributes.get("rpc.response.status_code") == (code if protocol == "grpc" else None)
    assert span.attributes.get("http.response.status_code") == (http if protocol == "http" else None)


def test_a_call_that_is_over_leaves_no_current_span():
    book = Book()
    with book.open():
        assert get_current_span().get_span_context().is_valid
    assert not get_current_span().get_span_context().is_valid


def test_phases_nest_and_one_of_a_thread_that_knows_of_no_span_is_the_servers():
    book = Book()
    with book.open() as call:
        with call.timings.phase("preprocess"), call.timings.phase("lookup"):
            pass

        def work():
            with call.timings.phase("elsewhere"):
                pass

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    spans = {span.name: span for span in book.spans}
    parents = {name: span.parent.span_id for name, span in spans.items()}
    ids = {name: span.context.span_id for name, span in spans.items()}
    assert parents["lookup"] == ids["preprocess"]
    assert parents["preprocess"] == parents["elsewhere"] == ids["POST /route"]
    assert set(dict(call.timings.items())) == {"preprocess", "lookup", "elsewhere"}


def test_a_call_that_is_not_sampled_is_timed_and_logged_but_has_no_spans(caplog):
    caplog.set_level(logging.INFO, "tandem.access")
    book = Book()
    with book.open({"traceparent": SAMPLED["traceparent"][:-1] + "0"}) as call, call.timings.phase("decode"):
        went_on = call.timings.trace.headers()["traceparent"]
    assert not book.spans
    assert went_on.startswith(f"00-{TRACE}-")
    assert went_on.endswith("-00")
    assert list(dict(call.timings.items())) == ["decode"]
    assert caplog.records[0].trace_id == TRACE


def test_a_trace_that_begins_here_is_the_exemplar_and_in_the_log(caplog):
    caplog.set_level(logging.INFO, "tandem.access")
    book = Book()
    with book.open({}):
        pass
    trace = f"{book.spans[0].context.trace_id:032x}"
    assert caplog.records[0].trace_id == trace
    assert f'trace_id="{trace}"'.encode() in book.metrics.exposition(openmetrics=True)


texts = st.one_of(st.text(max_size=60), st.text("\udcff\udc80=,;%0aA-_ ", max_size=60), st.just("a=1," * 300))


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("traceparent", "tracestate", "baggage"), texts)))
def test_no_header_harms_a_call_or_its_spans(headers):
    book = Book()
    with book.open(headers) as call:
        call.id = "x"
        carried = call.timings.trace.headers()
    assert all(text.isascii() and text.isprintable() for text in carried.values())
    assert len(encode_spans(book.spans).SerializeToString()) > 0


def test_an_error_text_that_is_no_unicode_can_be_exported():
    book = Book()
    call = book.open()
    call.__enter__().id = "\udcff" * 1000
    error = errors.Unavailable("the header is \udcff" + "x" * 1000)
    assert not call.__exit__(type(error), error, None)
    assert len(encode_spans(book.spans).SerializeToString()) < 1200


def test_tracestate_and_baggage_go_on_and_the_parent_is_our_span():
    book = Book()
    with book.open(SAMPLED | {"tracestate": "vendor=1", "baggage": "tenant=a"}) as call:
        carried = call.timings.trace.headers()
    assert carried == {
        "traceparent": f"00-{TRACE}-{book.spans[0].context.span_id:016x}-01",
        "tracestate": "vendor=1",
        "baggage": "tenant=a",
    }


class Collector(SpanExporter):
    """An exporter that works or does not."""

    works = True

    def export(self, spans):
        if not self.works:
            for attempt in range(9):
                logging.getLogger("opentelemetry.exporter.x").warning("attempt %d", attempt)
        return SpanExportResult.SUCCESS if self.works else SpanExportResult.FAILURE


@pytest.fixture
def complaints():
    made = Complaints()
    made.listen()
    yield made
    theirs = logging.getLogger("opentelemetry")
    theirs.removeHandler(made)
    theirs.propagate = True


def test_a_collector_that_goes_and_comes_is_one_line_each_with_the_first_reason(complaints, caplog):
    caplog.set_level(logging.INFO)
    collector = Collector()
    watched = Watched(collector, complaints)
    for works in (True, False, False, True, True):
        collector.works = works
        watched.export([])
    assert ours(caplog) == ["spans cannot be exported, and are dropped", "spans are exported again"]
    assert next(record for record in caplog.records if record.name == "tandem.tracing").reason == "attempt 0"


def test_what_opentelemetry_says_is_shown_when_debugging_and_a_full_queue_unless_it_is_no_news(complaints, caplog):
    queue = logging.getLogger("opentelemetry.sdk._shared_internal")
    headers = logging.getLogger("opentelemetry.baggage.propagation")
    caplog.set_level(logging.INFO)
    queue.warning("it is full")
    headers.warning("a caller's nonsense")
    complaints.failing = True
    queue.warning("it is full still")  # other words, as its own filter drops what it has just said
    assert ours(caplog) == ["it is full"]
    caplog.set_level(logging.DEBUG)
    headers.warning("a caller's nonsense")
    assert ours(caplog) == ["it is full", "a caller's nonsense"]


def ours(caplog):
    """Our lines; pytest also catches those of loggers that do not pass theirs on."""
    return [record.message for record in caplog.records if record.name == "tandem.tracing"]
