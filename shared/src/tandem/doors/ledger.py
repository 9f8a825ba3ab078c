"""The book of inference calls: who is in flight, how each one ended. Both doors open their calls here."""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import Task, current_task
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Histogram

from tandem.deadline import Deadline
from tandem.errors import Overloaded, TandemError
from tandem.inference import Call
from tandem.metrics import UNKNOWN_MODEL, ServerMetrics, afterwards

if TYPE_CHECKING:
    from tandem.tracing.spans import Tracing

log = logging.getLogger("tandem.access")

_HEX = frozenset("0123456789abcdef")
_SAMPLED = frozenset(f"{flags:02x}" for flags in range(1, 256, 2))
PENDING = "x-tandem-pending"  # on a transformer's readiness poll: it holds requests that will still need this predictor


class Ledger:
    """Admits calls up to a limit, and counts, times and logs each outcome once."""

    def __init__(
        self,
        metrics: ServerMetrics,
        models: Callable[[], Collection[str]],
        *,
        max_in_flight: int,
        max_bytes: int,
        default_timeout: float | None,
        access_log: bool,
        tracing: Tracing | None = None,
    ) -> None:
        self._metrics = metrics
        self._models = models
        self._max_in_flight = max_in_flight
        self._max_bytes = max_bytes
        self._default_timeout = default_timeout
        self._access_log = access_log
        self.tracing = tracing  # None: there are no spans
        self._last_sign = time.monotonic()  # of work, here or announced by a transformer
        self._counted: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}  # of bounded labels
        self.calls: dict[int, tuple[Call, Task[Any] | None]] = {}  # in flight, the oldest first; by their identity
        self.bytes = 0  # of the requests in flight, as they came

    @property
    def in_flight(self) -> int:
        """How many calls are worked on."""
        return len(self.calls)

    def open(
        self, protocol: str, model: str, headers: Mapping[str, str], timeout: float | None = None, route: str = ""
    ) -> Entry:
        """One call, from its admission to its outcome. Raises Overloaded at once when too many are in flight.

        `route` is the HTTP route or gRPC method, for its span.
        """
        start = time.perf_counter()
        deadline = Deadline.after(self._default_timeout if timeout is None else timeout)
        call = Call(protocol, model if model in self._models() else UNKNOWN_MODEL, deadline, headers, start)
        call.timings.trace = self.tracing.begin(protocol, route, headers) if self.tracing else None
        return Entry(self, call, deadline)

    def enter(self, call: Call) -> None:
        """Admit `call`; raises Overloaded, with the call entered all the same."""
        self._last_sign = time.monotonic()
        self.calls[id(call)] = call, current_task()
        self._metrics.in_flight.inc()
        if len(self.calls) > self._max_in_flight:
            self._metrics.rejected.labels("in_flight").inc()
            raise Overloaded(f"{self._max_in_flight} requests are in flight, the limit; try again later")

    def leave(self, call: Call, code: str) -> None:
        """`call` has ended with `code`."""
        del self.calls[id(call)]
        self.bytes -= call.size
        self._last_sign = time.monotonic()
        if not call.id:  # it was refused before it was read
            call.identify("")
        if call.timings.trace:
            call.timings.trace.end(call, code)
        afterwards(self._close, call, code, time.perf_counter() - call.started)

    def hold(self, call: Call, size: int) -> None:
        """So many more bytes of the call's request are here. Raises Overloaded when all are too many together."""
        call.size += size
        self.bytes += size
        if self.bytes > self._max_bytes:
            self._metrics.rejected.labels("bytes").inc()
            raise Overloaded(f"the requests in flight have over {self._max_bytes} bytes, the limit; try again later")

    def announce(self) -> None:
        """A peer says that calls will still come."""
        self._last_sign = time.monotonic()

    async def idle(self, quiet: float, grace: float) -> None:
        """Wait until nothing is in flight and no sign of work has come for `quiet` seconds; `grace` seconds at most.

        The quiet begins anew: a transformer that was signalled at the same moment gets the chance to announce itself.
        """
        self.announce()
        end = self._last_sign + grace
        while (now := time.monotonic()) < end:
            wait = self._last_sign + quiet - now
            if self.in_flight == 0 and wait <= 0:
                return
            await asyncio.sleep(min(wait if self.in_flight == 0 else max(quiet, 0.05), end - now))

    def _close(self, call: Call, code: str, seconds: float) -> None:
        self._metrics.in_flight.dec()
        outcome = (call.model, call.protocol, code)
        if outcome not in self._counted:  # looking a metric up by its labels costs more than counting
            times = self._metrics.request_seconds.labels(call.model, call.protocol)
            self._counted[outcome] = self._metrics.requests.labels(*outcome), times
        requests, times = self._counted[outcome]
        requests.inc()
        trace = call.timings.trace
        times.observe(seconds, trace.exemplar if trace else exemplar_of(call.headers))
        if self._access_log and log.isEnabledFor(logging.INFO):
            phases = {name: round(value * 1e3, 3) for name, value in call.timings.items()}
            entry: dict[str, object] = {"id": call.id, "model": call.model, "protocol": call.protocol, "code": code}
            entry |= {"ms": round(seconds * 1e3, 3), "phases": phases}
            if call.batch_rows:
                entry["batch_rows"] = call.batch_rows
            if trace_id := trace.trace_id if trace else trace_of(call.headers)[0]:
                entry["trace_id"] = trace_id
            log.info("infer", extra=entry)


class Entry:
    """The time of one call in the ledger, as a `with`. No generator: that takes three times as long."""

    __slots__ = ("_call", "_deadline", "_ledger")

    def __init__(self, ledger: Ledger, call: Call, deadline: Deadline) -> None:
        self._ledger = ledger
        self._call = call
        self._deadline = deadline  # the first; the call's own may become an earlier one

    def __enter__(self) -> Call:
        try:
            self._ledger.enter(self._call)
        except Overloaded as error:
            self.__exit__(Overloaded, error, None)
            raise
        return self._call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        code = outcome(error, self._deadline) if error else "OK"
        if error and (trace := self._call.timings.trace):
            trace.fail(code, error)
        self._ledger.leave(self._call, code)


def trace_of(headers: Mapping[str, str]) -> tuple[str, bool]:
    """The id of the caller's trace, empty if there is none, and whether it was sampled. Source: W3C Trace Context."""
    if not (parent := headers.get("traceparent")):
        return "", False
    version, _, rest = parent.partition("-")
    trace, _, flags = rest.partition("-")
    known = version != "ff" and len(trace) == 32 and set(trace) <= _HEX and set(trace) != {"0"}
    return (trace, flags[17:19] in _SAMPLED) if known else ("", False)


def exemplar_of(headers: Mapping[str, str]) -> dict[str, str] | None:
    """The id of the request's trace, if it has one that was sampled."""
    trace, sampled = trace_of(headers)
    return {"trace_id": trace} if sampled else None


def outcome(error: BaseException, deadline: Deadline) -> str:
    """The gRPC status name of a failed call; a cancellation by the deadline is told from one by the caller."""
    if isinstance(error, TandemError):
        return error.status.name
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return "DEADLINE_EXCEEDED" if deadline.expired else "CANCELLED"
    return "INTERNAL"
