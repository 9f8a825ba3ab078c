"""The client's span around a call to the predictor, where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from tandem.inference import Call

_NOTHING = nullcontext()


def calling(call: Call, name: str, attributes: Mapping[str, str | int]) -> AbstractContextManager[None]:
    """A span around the body, of which `Forwarding` tells the predictor."""
    return call.timings.trace.calling(name, attributes) if call.timings.trace else _NOTHING


def server(target: str) -> dict[str, str | int]:
    """Attributes that say who is called: host:port, or a Unix socket. Source: OpenTelemetry's semantic conventions."""
    host, _, port = target.rpartition(":")
    return {"server.address": host, "server.port": int(port)} if port.isdigit() else {"server.address": target}
