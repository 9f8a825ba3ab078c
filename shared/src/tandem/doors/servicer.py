"""The gRPC door: GRPCInferenceService onto an Endpoint. message -> codec -> endpoint -> codec -> message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tandem.codec import message as codec
from tandem.doors.endpoint import Endpoint
from tandem.doors.ledger import PENDING, Ledger
from tandem.lifecycle import Readiness
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc


class ServicerContext(Protocol):
    """What is used of grpc.aio.ServicerContext."""

    def invocation_metadata(self) -> object:
        """The caller's metadata."""
        ...

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None if it gave none."""
        ...

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, str], ...]) -> None:
        """What goes back after the answer."""
        ...


class InferenceServicer(pb_grpc.GRPCInferenceServiceServicer):
    """The six RPCs of the protocol. Errors are raised as TandemError; the interceptor translates them."""

    def __init__(self, endpoint: Endpoint, readiness: Readiness, ledger: Ledger) -> None:
        self._endpoint = endpoint
        self._readiness = readiness
        self._ledger = ledger

    async def ServerLive(self, request: pb.ServerLiveRequest, context: ServicerContext) -> pb.ServerLiveResponse:
        """True: the event loop answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: ServicerContext) -> pb.ServerReadyResponse:
        """Whether inference requests are taken."""
        return pb.ServerReadyResponse(ready=self._readiness.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: ServicerContext) -> pb.ModelReadyResponse:
        """Whether one model takes requests."""
        if PENDING in headers_of(context):
            self._ledger.announce()
        ready = self._endpoint.model_ready(request.name, request.version)
        return pb.ModelReadyResponse(ready=ready and self._readiness.ready)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: ServicerContext
    ) -> pb.ServerMetadataResponse:
        """Name, version and extensions."""
        info = self._endpoint.info
        return pb.ServerMetadataResponse(name=info.name, version=info.version, extensions=info.extensions)

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: ServicerContext
    ) -> pb.ModelMetadataResponse:
        """A model's tensors."""
        return codec.encode_metadata(await self._endpoint.metadata(request.name, request.version))

    async def ModelInfer(self, request: pb.ModelInferRequest, context: ServicerContext) -> pb.ModelInferResponse:
        """One inference; the phases go back as trailing metadata `server-timing`."""
        with self._ledger.open("grpc", request.model_name, headers_of(context), context.time_remaining()) as call:
            with call.timings.phase("decode"):
                decoded = codec.decode_request(request)
            call.identify(decoded)
            response = await self._endpoint.infer(decoded, call)
            with call.timings.phase("encode"):
                message = codec.encode_response(response, raw=decoded.raw)
            context.set_trailing_metadata((("server-timing", call.timings.header()),))
            return message


def headers_of(context: ServicerContext) -> Mapping[str, str]:
    """The call's metadata by name; gRPC has made the names lower-case already."""
    metadata = context.invocation_metadata()
    return dict(metadata) if isinstance(metadata, (tuple, list)) else {}
