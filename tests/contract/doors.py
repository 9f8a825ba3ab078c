"""Both doors of a service as a client sees them, and what each refusal must look like, whichever it is."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from contract.asks import HTTP, Ask
from contract.client import Reply
from harness import Service
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
TELLTALE = re.compile(  # paths, addresses, Python's inside
    r"(?<![\w}])/(?!v[12]\b|metrics|docs|openapi)\w+[/.]|\.py\b|ipv[46]:|unix:|\d+\.\d+\.\d+\.\d+|localhost|"
    r"Traceback|<class|Error\(|Exception|0x[0-9a-f]{6}"
)


@dataclass(frozen=True)
class Refusal:
    """A refusal over either door; `headers` are HTTP's, or gRPC's trailing metadata."""

    text: str
    headers: dict[str, str]


class HttpDoor:
    """One connection, which is never silently replaced by another."""

    def __init__(self, service: Service) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=20)
        self.connection.connect()
        self.connection.auto_open = 0

    def ask(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def infer(self, ask: Ask, form: str) -> Reply:
        body, headers = ask.http(form)
        return self.ask("POST", ask.path, body, headers)

    def refusal(self, reply: Reply, status: int) -> Refusal:
        """What `reply` says; fails unless it is a refusal with `status` as every one must be."""
        assert reply.status == status, reply
        told = refusal_of(reply)
        if reply.headers.get("connection") == "close":
            assert self.connection.sock is None
        else:
            assert self.ask("GET", "/v2/health/live").status == 200  # over the same connection
        return told


class GrpcDoor:
    """One channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = pb_grpc.GRPCInferenceServiceStub(channel)
        self._bytes = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    def infer(self, request: pb.ModelInferRequest, timeout: float = 20) -> pb.ModelInferResponse:
        return self.stub.ModelInfer(request, timeout=timeout)

    def refused(self, request: pb.ModelInferRequest | bytes, code: str, timeout: float = 20, **more: Any) -> Refusal:
        """How `request` is refused; fails unless it is, with `code`, and the channel serves on."""
        call = self._bytes if isinstance(request, bytes) else self.stub.ModelInfer
        with pytest.raises(grpc.RpcError) as failed:
            call(request, timeout=timeout, **more)
        error = failed.value
        assert error.code().name == code, error
        told = Refusal(error.details(), dict(error.trailing_metadata() or ()))
        check_text(told.text)
        assert self.stub.ServerLive(pb.ServerLiveRequest(), timeout=20).live
        return told


@contextmanager
def doors(service: Service) -> Iterator[tuple[HttpDoor, GrpcDoor]]:
    with grpc.insecure_channel(service.target) as channel:
        http_door = HttpDoor(service)
        try:
            yield http_door, GrpcDoor(channel)
        finally:
            http_door.connection.close()


def refused(service: Service, ask: Ask, form: str, status: int) -> Refusal:
    """How `service` refuses `ask` in `form`; fails unless it does, with `status` or its gRPC twin."""
    with doors(service) as (over_http, over_grpc):
        if form in HTTP:
            return over_http.refusal(over_http.infer(ask, form), status)
        return over_grpc.refused(ask.grpc(form), CODES[status])


def refusal_of(reply: Reply) -> Refusal:
    assert reply.headers["content-type"].startswith("application/json")
    text = reply.json["error"]
    check_text(text)
    return Refusal(text, reply.headers)


def check_text(text: str) -> None:
    assert isinstance(text, str)
    assert text.strip()
    assert "\n" not in text
    assert not (found := TELLTALE.search(text)), f"{found} in {text!r}"
