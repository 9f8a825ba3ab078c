"""Which of a request's headers go on to the predictor: those of tracing, and those that a flag names."""

from __future__ import annotations

from collections.abc import Sequence

from tandem.inference import Call

TRACING = ("traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled")
_LONGEST = 1024  # characters of a value
_OURS = ("grpc-", "content-", "inference-", "proxy-", "sec-", "x-tandem-", ":")
_HOP = frozenset(
    {"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
    | {"accept-encoding", "expect", "cookie", "x-request-timeout-ms"}
)


class Forwarding:
    """The allow-list."""

    def __init__(self, more: Sequence[str] = ()) -> None:
        self._names = (*TRACING, *(name for name in more if name not in TRACING))

    def of(self, call: Call, **own: str) -> dict[str, str]:
        """The call's headers that go on, its own trace in place of the caller's, and `own`.

        What a header cannot carry is left out.
        """
        values = {name: call.headers[name] for name in self._names if name in call.headers}
        trace = call.timings.trace
        if not (values or own or trace):
            return values
        if trace:
            values = {name: text for name, text in values.items() if name not in trace.fields} | trace.headers()
        return {
            name: text
            for name, text in (values | own).items()
            if text.isascii() and text.isprintable() and len(text) <= _LONGEST
        }


def names(text: str) -> tuple[str, ...]:
    """A parser of --forward_headers: lower-case names; raises ValueError on one that cannot go on."""
    found = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    for name in found:
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or name.endswith("-bin"):
            raise ValueError(f"names of headers with commas between; '{name[:40]}' is none")
        if name.startswith(_OURS) or name in _HOP:
            raise ValueError(f"headers about the request itself; '{name}' is about the connection or the message")
    return found
