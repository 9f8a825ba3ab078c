"""The gRPC channel to a server: its options, and what its failures say."""

from __future__ import annotations

import grpc

STATUSES = {int(status.value[0]): status for status in grpc.StatusCode}
_NEVER_SENT = (  # gRPC's own words for a call that never left; it has no other sign for it
    "failed to connect to all addresses; last error: ",
    "connections to all backends failing; last error: ",
)


def options(max_receive: int, max_send: int) -> list[tuple[str, int | str]]:
    """For a channel that reconnects by itself, within a second, and is nobody else's; sizes in bytes, -1 for any."""
    return [
        ("grpc.max_receive_message_length", max_receive),
        ("grpc.max_send_message_length", max_send),
        ("grpc.keepalive_time_ms", 330_000),  # gRPC servers answer pings within 5 minutes with GOAWAY
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),  # the server is where its address says, whatever http_proxy says
        ("grpc.use_local_subchannel_pool", 1),  # one connection, and not one shared with other channels
    ]


def never_sent(status: grpc.StatusCode, details: str | None) -> bool:
    """Whether a call that failed did not leave this machine."""
    return status is grpc.StatusCode.UNAVAILABLE and (details or "").startswith(_NEVER_SENT)
