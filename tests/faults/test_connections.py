"""More connections than a port may have: what is open goes on, what comes is closed, and taken once there is room."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import DIGITS, PATIENCE, Service, start_predictor

MOST = 3
LIVE = "/v2/health/live"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    started = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits", f"--max_connections={MOST}")
    try:
        yield started
    finally:
        started.process.stop()


def opened(port: int, crowd: ExitStack) -> http.client.HTTPConnection:
    """A connection that has been answered once, and is kept."""
    connection = crowd.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)))
    assert answer(connection) == 200
    return connection


def answer(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", LIVE)
    reply = connection.getresponse()
    body = json.loads(reply.read())
    assert reply.status == 200 or "--max_connections" in body["error"]
    return reply.status


def test_a_connection_too_many_over_http_is_told_so_and_closed(service: Service) -> None:
    with ExitStack() as crowd:
        connections = [opened(service.http_port, crowd) for _ in range(MOST)]
        with closing(http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=PATIENCE)) as late:
            assert answer(late) == 503
        assert [answer(connection) for connection in connections] == [200] * MOST
        connections[0].close()
        end = time.monotonic() + PATIENCE
        while True:
            with closing(http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=PATIENCE)) as next_one:
                if answer(next_one) == 200:
                    break
            assert time.monotonic() < end, "the room that is free again is given to nobody"


def test_a_connection_too_many_over_grpc_is_closed_and_the_others_go_on(service: Service) -> None:
    own = [("grpc.use_local_subchannel_pool", 1)]  # else channels share a connection
    question = health_pb2.HealthCheckRequest()
    with ExitStack() as crowd:
        channels = [crowd.enter_context(grpc.insecure_channel(service.target, own)) for _ in range(MOST)]
        stubs = [health_pb2_grpc.HealthStub(channel) for channel in channels]
        assert [stub.Check(question, timeout=PATIENCE).status for stub in stubs] == [1] * MOST
        with socket.create_connection(("127.0.0.1", service.grpc_port), timeout=PATIENCE) as late:
            while late.recv(1024):
                pass  # whatever is said before it is closed
        assert [stub.Check(question, timeout=PATIENCE).status for stub in stubs] == [1] * MOST
        channels[0].close()
        late_channel = crowd.enter_context(grpc.insecure_channel(service.target, own))
        late_stub = health_pb2_grpc.HealthStub(late_channel)
        assert late_stub.Check(question, timeout=PATIENCE, wait_for_ready=True).status == 1
