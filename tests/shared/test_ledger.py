"""The book of calls: admission, outcome, and waiting until nothing more comes."""

import asyncio
import logging
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from shared.fakes import Clock
from tandem import deadline, errors
from tandem.deadline import Deadline
from tandem.doors import ledger
from tandem.doors.ledger import Ledger, exemplar_of, outcome
from tandem.inference import InferRequest
from tandem.metrics import ServerMetrics


@pytest.fixture
def clock(monkeypatch):
    """The clock of the ledger and of its deadlines; the ledger's sleeps move it."""
    clock = Clock()
    monkeypatch.setattr(ledger, "time", clock)
    monkeypatch.setattr(deadline, "time", clock)
    faked = SimpleNamespace(sleep=clock.sleep, CancelledError=asyncio.CancelledError)
    monkeypatch.setattr(ledger, "asyncio", faked)
    return clock


pytestmark = pytest.mark.usefixtures("without_a_loop")


class Book:
    """A ledger that knows the model "digits", and its metrics."""

    def __init__(self, *, max_in_flight=2, default_timeout=None, access_log=True):
        self.metrics = ServerMetrics(CollectorRegistry(), "fake", "1")
        self.ledger = Ledger(
            self.metrics,
            lambda: ["digits"],
            max_in_flight=max_in_flight,
            max_bytes=100,
            default_timeout=default_timeout,
            access_log=access_log,
        )

    def value(self, sample, **labels):
        return self.metrics.registry.get_sample_value(sample, labels)

    def outcomes(self, model="digits", protocol="grpc"):
        """The codes counted so far."""
        return {
            sample.labels["code"]: sample.value
            for sample in next(iter(self.metrics.requests.collect())).samples
            if (sample.labels["model_name"], sample.labels["protocol"]) == (model, protocol)
        }

    def serve(self, error=None, **opening):
        with self.ledger.open(**{"protocol": "grpc", "model": "digits", "headers": {}} | opening) as call:
            if error:
                raise error
        return call


def test_a_call_is_in_flight_until_it_ends():
    book = Book()
    with book.ledger.open("http", "digits", {"a": "b"}) as call:
        assert (book.ledger.in_flight, book.value("tandem_in_flight_requests")) == (1, 1)
        assert (call.protocol, call.model, call.headers) == ("http", "digits", {"a": "b"})
        assert list(book.ledger.calls.values()) == [(call, None)]
    assert (book.ledger.in_flight, book.value("tandem_in_flight_requests")) == (0, 0)
    assert book.outcomes(protocol="http") == {"OK": 1}


def test_the_time_from_admission_to_outcome_is_observed(clock):
    book = Book()
    with book.ledger.open("grpc", "digits", {}):
        clock.now += 0.5
    assert book.value("tandem_request_seconds_sum", model_name="digits", protocol="grpc") == 0.5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput("x"), "INVALID_ARGUMENT"),
        (errors.UnsupportedMediaType("x"), "INVALID_ARGUMENT"),
        (errors.PayloadTooLarge("x"), "RESOURCE_EXHAUSTED"),
        (errors.NotFound("x"), "NOT_FOUND"),
        (errors.Unavailable("x"), "UNAVAILABLE"),
        (errors.DeadlineExceeded("x"), "DEADLINE_EXCEEDED"),
        (errors.Internal("x"), "INTERNAL"),
        (ValueError("x"), "INTERNAL"),
        (TimeoutError(), "INTERNAL"),
        (asyncio.CancelledError(), "CANCELLED"),
        (GeneratorExit(), "CANCELLED"),
    ],
)
def test_each_outcome_is_counted_once_by_its_grpc_name_and_passed_on(error, code):
    book = Book()
    with pytest.raises(type(error)) as raised:
        book.serve(error)
    assert raised.value is error
    assert book.outcomes() == {code: 1}
    assert book.ledger.in_flight == 0


def test_a_cancellation_by_the_deadline_is_told_from_one_by_the_caller(clock):
    end = Deadline.after(1)
    assert outcome(asyncio.CancelledError(), end) == "CANCELLED"
    clock.now += 1
    assert outcome(asyncio.CancelledError(), end) == "DEADLINE_EXCEEDED"


def test_what_a_client_calls_an_unknown_model_is_no_label():
    book = Book()
    assert book.serve(model="<script>").model == "unknown"
    assert book.outcomes("unknown") == {"OK": 1}
    assert b"script" not in book.metrics.exposition()


def test_one_call_over_the_limit_is_refused_at_once_and_the_next_is_taken_again():
    book = Book(max_in_flight=1)
    with (
        book.ledger.open("grpc", "digits", {}),
        pytest.raises(errors.Overloaded, match="1 requests are in flight") as no,
    ):
        book.serve()
    assert no.value.retry_after == 1
    assert book.value("tandem_rejected_total", reason="in_flight") == 1
    assert book.outcomes() == {"OK": 1, "RESOURCE_EXHAUSTED": 1}
    book.serve()
    assert book.outcomes()["OK"] == 2


def test_bytes_over_the_limit_of_all_calls_are_refused_and_free_again_with_their_call():
    book = Book(max_in_flight=9)
    with book.ledger.open("http", "digits", {}) as first:
        book.ledger.hold(first, 60)
        book.ledger.hold(first, 40)
        with pytest.raises(errors.Overloaded, match="over 100 bytes"), book.ledger.open("http", "digits", {}) as second:
            book.ledger.hold(second, 1)
        assert book.ledger.bytes == 100
    assert book.ledger.bytes == 0
    assert book.value("tandem_rejected_total", reason="bytes") == 1


@pytest.mark.parametrize(
    ("default", "own", "remaining"),
    [(None, None, None), (9.0, None, 9.0), (9.0, 2.0, 2.0), (9.0, 0.0, 0.0), (2.0, 9.0, 9.0)],
)
def test_the_callers_deadline_holds_and_the_default_only_without_one(clock, default, own, remaining):
    book = Book(default_timeout=default)
    assert book.serve(timeout=own).deadline.remaining == remaining


def test_each_call_is_one_line_in_the_log(caplog, clock):
    caplog.set_level(logging.INFO, "tandem.access")
    with Book().ledger.open("http", "digits", {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}) as call:
        call.begin(InferRequest("digits", "", {}, id="7"))
        call.timings.add("queue", 0.0125)
        clock.now += 0.25
    (line,) = caplog.records
    assert (line.message, line.id, line.model, line.protocol, line.code) == ("infer", "7", "digits", "http", "OK")
    assert (line.ms, line.phases, line.trace_id) == (250.0, {"queue": 12.5}, TRACE)


@pytest.mark.parametrize("headers", [{}, {"x-request-id": "theirs"}])
def test_a_request_that_was_refused_before_it_was_read_has_an_id_in_its_line(caplog, headers):
    caplog.set_level(logging.INFO, "tandem.access")
    book = Book()
    for _ in range(2):
        with pytest.raises(errors.InvalidInput):
            book.serve(errors.InvalidInput("no JSON"), headers=headers)
    ids = {line.id for line in caplog.records}
    assert ids == {"theirs"} if headers else len(ids) == 2


def test_the_access_log_can_be_turned_off(caplog):
    caplog.set_level(logging.INFO, "tandem.access")
    Book(access_log=False).serve()
    assert not caplog.records


async def test_the_quiet_time_begins_anew_when_one_begins_to_wait(clock):
    book = Book().ledger
    clock.now += 100.0
    await book.idle(quiet=1.0, grace=30.0)
    assert clock.slept == [1.0]


async def test_without_a_quiet_time_an_idle_ledger_is_not_waited_for(clock):
    await Book().ledger.idle(quiet=0.0, grace=30.0)
    assert clock.slept == []


@pytest.mark.parametrize("sign", ["call", "announcement"])
async def test_a_sign_of_work_starts_the_quiet_time_again(clock, sign):
    book = Book()
    signs = [0.0, 0.25]
    clock.woken = lambda: signs and (signs.pop(), book.serve() if sign == "call" else book.ledger.announce())
    await book.ledger.idle(quiet=1.0, grace=30.0)
    assert clock.slept == [1.0, 1.0, 1.0]


async def test_a_call_in_flight_is_waited_for_and_then_the_quiet_time(clock):
    book = Book()
    call = book.ledger.open("grpc", "digits", {})
    call.__enter__()
    clock.woken = lambda: len(clock.slept) == 5 and call.__exit__(None, None, None)
    await book.ledger.idle(quiet=1.0, grace=30.0)
    assert sum(clock.slept) == 6.0


async def test_the_grace_ends_all_waiting(clock):
    book = Book()
    with book.ledger.open("grpc", "digits", {}):
        await book.ledger.idle(quiet=1.0, grace=2.5)
        await book.ledger.idle(quiet=1.0, grace=0)
    assert clock.slept == [1.0, 1.0, 0.5]


async def test_without_a_quiet_time_a_call_in_flight_is_not_waited_for_in_a_busy_loop(clock):
    book = Book()
    with book.ledger.open("grpc", "digits", {}):
        clock.woken = lambda: pytest.fail("spins") if clock.slept[-1] == 0 else None
        await book.ledger.idle(quiet=0.0, grace=5.0)
    assert sum(clock.slept) == pytest.approx(5.0)


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", True),
        (f"00-{TRACE}-b7ad6b7169203331-03", True),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-a-later-version-adds", True),
        (f"00-{TRACE}-b7ad6b7169203331-00", False),
        (f"ff-{TRACE}-b7ad6b7169203331-01", False),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", False),
        (f'00-{TRACE[:-1]}"-b7ad6b7169203331-01', False),
        (f"00-{TRACE}", False),
        ("", False),
    ],
)
def test_the_exemplar_is_the_trace_of_a_sampled_request(header, known):
    assert exemplar_of({"traceparent": header}) == ({"trace_id": TRACE} if known else None)
