"""gRPC, with raw tensors: one channel, which may be used from every thread and event loop.

gRPC's own asyncio API allows one event loop a process that is sure to be quiet; futures of the other API allow any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc

from tandem import tensors
from tandem.client.result import Document, InferResult, ServerMetadata
from tandem.client.settings import Settings
from tandem.client.terms import NotSent, Terms
from tandem.codec import message as codec
from tandem.codec import wire
from tandem.codec.plain import plain
from tandem.cpus import apart
from tandem.errors import DeadlineExceeded, TandemError, Unavailable, from_status
from tandem.inference import InferRequest
from tandem.metadata import ModelMetadata
from tandem.model.config import ModelIndex
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc
from tandem.oip import model_config_pb2 as config_pb
from tandem.oip import repository_pb2 as repository_pb
from tandem.oip import statistics_pb2 as statistics_pb
from tandem.peer import channel
from tandem.peer.http import whole
from tandem.timings import parse


class OverGrpc:
    """The transport of grpc:// and grpcs://."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._channel = _open(settings)
        self._stub = pb_grpc.GRPCInferenceServiceStub(self._channel)
        self._infer: Any = self._channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", None, wire.decode_response
        )

    async def infer(self, request: InferRequest, terms: Terms) -> InferResult:
        """The answer to one request."""
        encode = partial(_encoded, request)
        data = await apart(encode) if tensors.take_long(request.inputs) else encode()
        rpc = await self._ask(self._infer, data, terms)
        frame = rpc.result()
        decode = partial(codec.decode_response, frame)
        response = await apart(decode) if codec.takes_long(frame.message.outputs, frame.raw) else decode()
        return InferResult(response, parse(_trailing(rpc, "server-timing")))

    async def live(self, terms: Terms) -> bool:
        """Whether the server runs."""
        return bool((await self._tell(self._stub.ServerLive, pb.ServerLiveRequest(), terms)).live)

    async def ready(self, terms: Terms) -> bool:
        """Whether it takes requests."""
        return bool((await self._tell(self._stub.ServerReady, pb.ServerReadyRequest(), terms)).ready)

    async def model_ready(self, model: str, version: str, terms: Terms) -> bool:
        """Whether a model takes requests."""
        message = pb.ModelReadyRequest(name=model, version=version)
        return bool((await self._tell(self._stub.ModelReady, message, terms)).ready)

    async def server(self, terms: Terms) -> ServerMetadata:
        """What the server says of itself."""
        found = await self._tell(self._stub.ServerMetadata, pb.ServerMetadataRequest(), terms)
        return ServerMetadata(found.name, found.version, tuple(found.extensions))

    async def metadata(self, model: str, version: str, terms: Terms) -> ModelMetadata:
        """What it says of a model."""
        message = pb.ModelMetadataRequest(name=model, version=version)
        return codec.decode_metadata(await self._tell(self._stub.ModelMetadata, message, terms))

    async def config(self, model: str, version: str, terms: Terms) -> Document:
        """A model's configuration."""
        message = config_pb.ModelConfigRequest(name=model, version=version)
        return plain((await self._tell(self._stub.ModelConfig, message, terms)).config)

    async def statistics(self, model: str, version: str, terms: Terms) -> Sequence[Document]:
        """The statistics of the versions of a model, or of all."""
        message = statistics_pb.ModelStatisticsRequest(name=model, version=version)
        found = await self._tell(self._stub.ModelStatistics, message, terms)
        return [{"batch_stats": [], **plain(one)} for one in found.model_stats]

    async def models(self, terms: Terms, *, ready: bool) -> Sequence[ModelIndex]:
        """The versions that the repository has."""
        found = await self._tell(self._stub.RepositoryIndex, repository_pb.RepositoryIndexRequest(ready=ready), terms)
        return [ModelIndex(one.name, one.version, one.state == "READY", one.reason) for one in found.models]

    async def load(self, model: str, terms: Terms) -> None:
        """Load a model."""
        message = repository_pb.RepositoryModelLoadRequest(model_name=model)
        await self._tell(self._stub.RepositoryModelLoad, message, terms)

    async def unload(self, model: str, terms: Terms) -> None:
        """Unload a model."""
        message = repository_pb.RepositoryModelUnloadRequest(model_name=model)
        await self._tell(self._stub.RepositoryModelUnload, message, terms)

    async def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    async def _tell(self, method: Any, message: object, terms: Terms) -> Any:  # the message that gRPC's stubs say
        return (await self._ask(method, message, terms)).result()

    async def _ask(self, method: Any, message: object, terms: Terms) -> Any:
        """The call, when it has succeeded; raises TandemError."""
        terms.deadline.check("the server was asked")
        loop = asyncio.get_running_loop()
        headers = {**self._settings.headers, **terms.headers}
        headers.pop("host", None)  # the channel's authority says it
        rpc = method.future(message, timeout=terms.deadline.remaining, metadata=tuple(headers.items()))
        done = loop.create_future()
        rpc.add_done_callback(lambda _: _wake(loop, done))
        try:
            await done
        finally:
            rpc.cancel()  # of no effect on one that has ended
        if rpc.code() is not grpc.StatusCode.OK:
            raise self._error(rpc)
        return rpc

    def _error(self, rpc: Any) -> TandemError:
        """The status of a call as our own."""
        status, details = rpc.code(), rpc.details() or ""
        if channel.never_sent(status, details):
            return NotSent(f"{self._settings.authority} cannot be reached: {details.rpartition('error: ')[2]}")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED and not _trailing(rpc, "server-timing"):
            return DeadlineExceeded(f"no answer within the deadline, from {self._settings.authority}")
        error = from_status(status, details)
        after = whole(_trailing(rpc, "retry-after"))
        if after is not None or isinstance(error, Unavailable):
            error.retry_after = after
        return error


def _wake(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(_settle, done)
    except RuntimeError:
        return  # the loop has ended, and nobody waits


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _trailing(rpc: Any, name: str) -> str:
    return next((str(value) for key, value in rpc.trailing_metadata() or () if key == name), "")


def _open(settings: Settings) -> grpc.Channel:
    options = channel.options(settings.max_message_bytes, -1)
    if host := settings.headers.get("host"):
        options.append(("grpc.default_authority", host))
    if not settings.tls:
        return grpc.insecure_channel(settings.authority, options=options)
    if settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
    return grpc.secure_channel(settings.authority, settings.tls.credentials(), options=options)


def _encoded(request: InferRequest) -> bytes:
    return wire.encode_request(codec.encode_request(request))
