"""The gRPC channel to the predictor, and the side ways that were negotiated over it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from tandem.codec import wire
from tandem.codec.wire import Frame
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc
from tandem.peer import channel
from tandem.security.tls import ClientTls
from tandem.security.tokens import Bearer, Tokens

from tandem_transformer.hop.handoff import Handoff
from tandem_transformer.hop.local import LocalSocket

_Infer: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, Frame[pb.ModelInferResponse]]"  # generic in the stubs only

_LOOK = 0.1  # seconds between two looks at whether a replaced channel is idle


@dataclass(frozen=True, slots=True)
class Address:
    """Where the predictor is: a gRPC target, what proves who is who, and the sizes and retries of the calls to it."""

    target: str
    max_receive: int
    max_send: int
    retries: int
    shared_memory: str = "auto"  # auto, on or off
    local_socket: str = "auto"  # auto or off
    tls: ClientTls | None = None
    tokens: Tokens | None = None  # of which one is sent


class Line:
    """One channel. It reconnects by itself; only other certificates need another one."""

    def __init__(self, address: Address, executor: Executor) -> None:
        self._address = address
        self.calls = 0  # requests that are on it, whichever way they take
        self.channel = _open(address)
        self.stub = pb_grpc.GRPCInferenceServiceStub(self.channel)
        self.infer: _Infer = self.channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", None, wire.decode_response
        )
        self.local = LocalSocket(self.channel, address.max_receive)
        self.handoff = Handoff(self.channel, executor, insist=address.shared_memory == "on")

    async def keep(self) -> None:
        """Share memory and a local socket with the predictor where that can be, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._address.shared_memory != "off":
                group.create_task(self.handoff.keep())
            if self._address.local_socket != "off":
                group.create_task(self.local.keep())

    async def idle(self) -> None:
        """Wait until no request is on it."""
        while self.calls:  # noqa: ASYNC110 - counted on the hot path, waited for once a certificate
            await asyncio.sleep(_LOOK)


def _open(address: Address) -> grpc.aio.Channel:
    options = channel.options(address.max_receive, address.max_send)
    interceptors = [Bearer(address.tokens)] if address.tokens else None
    if not address.tls:
        return grpc.aio.insecure_channel(address.target, options=options, interceptors=interceptors)
    if address.tls.server_name:
        options.append(("grpc.ssl_target_name_override", address.tls.server_name))
    return grpc.aio.secure_channel(
        address.target, address.tls.credentials(), options=options, interceptors=interceptors
    )
