"""The gRPC door: GRPCInferenceService onto an Endpoint. message -> codec -> endpoint -> codec -> message."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Protocol

from tandem import tensors
from tandem.codec import management, wire
from tandem.codec import message as codec
from tandem.codec.shared_memory import Room
from tandem.codec.wire import Frame
from tandem.cpus import apart
from tandem.deadline import Alarm
from tandem.doors.endpoint import Endpoint
from tandem.doors.ledger import PENDING, Ledger
from tandem.doors.streams import ordered
from tandem.doors.translation import INTERNAL
from tandem.errors import TandemError
from tandem.inference import Limits
from tandem.lifecycle import Readiness
from tandem.memory.regions import Regions
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc
from tandem.oip import model_config_pb2 as config_pb
from tandem.oip import repository_pb2 as repository_pb
from tandem.oip import shared_memory_pb2 as memory_pb
from tandem.oip import statistics_pb2 as statistics_pb
from tandem.timings import Timings

log = logging.getLogger("tandem.grpc")

_INFER = "inference.GRPCInferenceService/ModelInfer"
_STREAM = "inference.GRPCInferenceService/ModelStreamInfer"


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
    """The protocol's RPCs and Triton's extensions. Errors are TandemErrors; translation.py makes them statuses."""

    def __init__(
        self, endpoint: Endpoint, readiness: Readiness, ledger: Ledger, limits: Limits, regions: Regions | None = None
    ) -> None:
        self._endpoint = endpoint
        self._regions = regions or Regions(public=False)
        self._lookup = regions.view if regions else None  # without regions, tensors in shared memory are refused
        self._limits = limits
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

    async def ModelInfer(  # type: ignore[override]  # its wrapper reads and writes frames, not messages
        self, request: Frame[pb.ModelInferRequest], context: ServicerContext
    ) -> Frame[pb.ModelInferResponse]:
        """One inference; the phases go back as trailing metadata `server-timing`."""
        answer, timings = await self.infer(request, headers_of(context), context.time_remaining())
        context.set_trailing_metadata((("server-timing", timings.header()),))
        return answer

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: ServicerContext
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Answers in the order of the requests, of which a few are worked on at the same time."""
        headers = headers_of(context)
        async with aclosing(ordered(request_iterator, lambda request: self._answer(request, headers))) as answers:
            async for answer in answers:
                yield answer

    async def ModelConfig(
        self, request: config_pb.ModelConfigRequest, context: ServicerContext
    ) -> config_pb.ModelConfigResponse:
        """How a model is served."""
        config = await self._endpoint.config(request.name, request.version)
        return config_pb.ModelConfigResponse(config=management.config_message(config))

    async def ModelStatistics(
        self, request: statistics_pb.ModelStatisticsRequest, context: ServicerContext
    ) -> statistics_pb.ModelStatisticsResponse:
        """How often and how long models have run."""
        return management.statistics_message(self._endpoint.statistics(request.name, request.version))

    async def RepositoryIndex(
        self, request: repository_pb.RepositoryIndexRequest, context: ServicerContext
    ) -> repository_pb.RepositoryIndexResponse:
        """Every model version."""
        models = [model for model in self._endpoint.index() if model.ready or not request.ready]
        return management.index_message(models)

    async def RepositoryModelLoad(
        self, request: repository_pb.RepositoryModelLoadRequest, context: ServicerContext
    ) -> repository_pb.RepositoryModelLoadResponse:
        """Load a model."""
        management.refuse_overrides(request.parameters)
        await self._endpoint.load(request.model_name)
        return repository_pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: repository_pb.RepositoryModelUnloadRequest, context: ServicerContext
    ) -> repository_pb.RepositoryModelUnloadResponse:
        """Unload a model."""
        await self._endpoint.unload(request.model_name)
        return repository_pb.RepositoryModelUnloadResponse()

    async def SystemSharedMemoryStatus(
        self, request: memory_pb.SystemSharedMemoryStatusRequest, context: ServicerContext
    ) -> memory_pb.SystemSharedMemoryStatusResponse:
        """The registered regions."""
        return management.regions_message(self._regions.status(request.name))

    async def SystemSharedMemoryRegister(
        self, request: memory_pb.SystemSharedMemoryRegisterRequest, context: ServicerContext
    ) -> memory_pb.SystemSharedMemoryRegisterResponse:
        """Register a region."""
        self._regions.register(request.name, request.key, request.offset, request.byte_size)
        return memory_pb.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(
        self, request: memory_pb.SystemSharedMemoryUnregisterRequest, context: ServicerContext
    ) -> memory_pb.SystemSharedMemoryUnregisterResponse:
        """Forget a region."""
        self._regions.unregister(request.name)
        return memory_pb.SystemSharedMemoryUnregisterResponse()

    async def infer(
        self, request: Frame[pb.ModelInferRequest], headers: Mapping[str, str], seconds: float | None, rpc: str = _INFER
    ) -> tuple[Frame[pb.ModelInferResponse], Timings]:
        """One inference and where its time went, however the message came; `seconds` until the caller's deadline."""
        name = request.message.model_name
        with self._ledger.open("grpc", name, headers, seconds, rpc) as call, Alarm(call.deadline) as alarm:
            self._ledger.hold(call, size_of(request))
            with call.timings.phase("decode"):
                decode = partial(codec.decode_request, request, self._limits, self._lookup)
                decoded = await apart(decode) if codec.takes_long(request.message.inputs, request.raw) else decode()
            call.begin(decoded)
            alarm.set(call.deadline)
            room = Room(decoded, self._lookup)
            response = await self._endpoint.infer(decoded, call)
            with call.timings.phase("encode"):
                encode = partial(codec.encode_response, response, raw=decoded.raw, room=room)
                answer = await apart(encode) if tensors.take_long(response.outputs) else encode()
            return answer, call.timings

    async def _answer(self, request: pb.ModelInferRequest, headers: Mapping[str, str]) -> pb.ModelStreamInferResponse:
        """One request of a stream; its error does not end the stream."""
        try:
            answer, _ = await self.infer(wire.whole_request(request), headers, None, _STREAM)
            return pb.ModelStreamInferResponse(infer_response=wire.whole_response(answer))
        except TandemError as error:
            text = error.message
        except Exception:
            log.exception("a request of a stream failed")
            text = INTERNAL
        empty = pb.ModelInferResponse(id=request.id, model_name=request.model_name)
        return pb.ModelStreamInferResponse(error_message=text, infer_response=empty)


def size_of(request: Frame[pb.ModelInferRequest]) -> int:
    """The bytes of its tensors, which are nearly all of a large request."""
    return sum(map(len, request.raw)) or request.message.ByteSize()


def headers_of(context: ServicerContext) -> Mapping[str, str]:
    """The call's metadata by name; gRPC has made the names lower-case already."""
    metadata = context.invocation_metadata()
    return dict(metadata) if isinstance(metadata, (tuple, list)) else {}
