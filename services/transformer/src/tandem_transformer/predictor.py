"""The transformer's one channel to its predictor: inference, metadata and readiness over gRPC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial

import grpc
from tandem import tensors
from tandem.codec import message as codec
from tandem.codec import wire
from tandem.codec.wire import Frame
from tandem.cpus import apart
from tandem.deadline import Deadline
from tandem.doors.ledger import PENDING
from tandem.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    Overloaded,
    TandemError,
    Unavailable,
    from_status,
)
from tandem.inference import Call, InferRequest, InferResponse
from tandem.metadata import ModelMetadata
from tandem.oip import inference_pb2 as pb
from tandem.peer.channel import STATUSES, never_sent
from tandem.peer.retries import RetryBudget, pause
from tandem.timings import parse

from tandem_transformer.hop import local
from tandem_transformer.hop.calling import calling, server
from tandem_transformer.hop.channel import Address, Line
from tandem_transformer.hop.forwarding import Forwarding
from tandem_transformer.hop.handoff import room_of
from tandem_transformer.hop.local import Answer, Refused

log = logging.getLogger("tandem.transformer")

MARGIN = 0.005  # seconds before the caller's deadline at which the predictor's answer is wanted
PREDICTOR_PHASES = ("decode", "queue", "batch", "inference", "encode")
_METHOD = "inference.GRPCInferenceService/ModelInfer"
_ASIDE = 5.0  # seconds for a question about the model


class GrpcPredictor:
    """A predictor that speaks the Open Inference Protocol over gRPC. A channel reconnects by itself."""

    def __init__(self, address: Address, executor: Executor, forwarding: Forwarding) -> None:
        self._address = address
        self._forwarding = forwarding
        self._executor = executor
        self._budget = RetryBudget()
        self._line = Line(address, executor)
        self._span = {"rpc.system.name": "grpc", "rpc.method": _METHOD, **server(address.target)}

    @property
    def connected(self) -> bool:
        """Whether the channel is; it notices at once when the predictor's process ends."""
        return self._line.channel.get_state() is grpc.ChannelConnectivity.READY

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """The predictor's answer; adds its phases and `hop`, the rest of the time, to `call.timings`.

        Raises the TandemError that stands for the predictor's status, so that the caller gets the true one.
        """
        start = time.perf_counter()
        with calling(call, _METHOD, self._span):
            response, phases = await self._ask_again(request, call, call.deadline.earlier(MARGIN))
        inside = 0.0
        for name, seconds in phases.items():
            inside += seconds
            if name in ("queue", "batch", "inference"):
                call.timings.add(name, seconds)
        call.timings.add("hop", max(0.0, time.perf_counter() - start - inside))
        return response

    async def metadata(self, name: str) -> ModelMetadata:
        """The model as the predictor describes it; raises TandemError."""
        try:
            reply = await self._line.stub.ModelMetadata(pb.ModelMetadataRequest(name=name), timeout=_ASIDE)
            return codec.decode_metadata(reply)
        except grpc.aio.AioRpcError as error:
            raise _rpc_error(error) from None

    async def ready(self, name: str, *, pending: bool) -> bool:
        """Whether the predictor would take a request; `pending` tells it that some are still to come."""
        metadata = ((PENDING, "1"),) if pending else ()
        try:
            reply = await self._line.stub.ModelReady(pb.ModelReadyRequest(name=name), timeout=_ASIDE, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise _rpc_error(error) from None
        return reply.ready

    async def keep(self) -> None:
        """Keep the side ways open; with other certificates, call on another channel. Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                line = self._line
                keeping = group.create_task(line.keep())
                await self._until_stale()
                self._line = Line(self._address, self._executor)
                group.create_task(_retire(line, keeping))

    async def close(self) -> None:
        """Close the channel, at once."""
        await self._line.channel.close()

    async def _until_stale(self) -> None:
        if self._address.tls:
            await self._address.tls.changed()
            log.info("the predictor is called with other certificates from now on")
        else:
            await asyncio.Event().wait()

    async def _ask_again(
        self, request: InferRequest, call: Call, deadline: Deadline
    ) -> tuple[InferResponse, Mapping[str, float]]:
        """Send the request, twice if need be."""
        line = self._line
        line.calls += 1
        try:
            return await self._ask(line, request, call, deadline)
        except FailedPrecondition:
            if not call.shared_memory:
                raise  # else the predictor has forgotten the region: nothing has been done yet
            return await self._ask(line, request, call, deadline)
        finally:
            line.calls -= 1

    async def _ask(
        self, line: Line, request: InferRequest, call: Call, deadline: Deadline
    ) -> tuple[InferResponse, Mapping[str, float]]:
        """Send the request, its large tensors by shared memory if there is some."""
        encode = partial(codec.encode_request, request)
        frame, lease = line.handoff.lend(await apart(encode) if tensors.take_long(request.inputs) else encode())
        call.shared_memory = lease is not None
        try:
            reply, phases = await self._send(line, frame, call, deadline)
            decode = partial(codec.decode_response, reply, lease.lookup if lease else None)
            response = await apart(decode) if codec.takes_long(reply.message.outputs, reply.raw) else decode()
        except Overloaded:
            raise  # refused before anything was read
        except BaseException as error:
            if lease:
                lease.lose()
                if isinstance(error, FailedPrecondition):
                    line.handoff.forget(lease)
            raise
        line.handoff.learn(sum(room_of(array) for array in response.outputs.values()))
        return response, phases

    async def _send(self, line: Line, frame: Frame[pb.ModelInferRequest], call: Call, deadline: Deadline) -> Answer:
        """Call over the local socket if there is one and the request is small, else over gRPC."""
        data, metadata = wire.encode_request(frame), self._forwarding.of(call)
        connection = line.local.connection if len(data) <= local.MOST else None
        if trace := call.timings.trace:
            trace.note("tandem.hop.transport", "local" if connection else "grpc")
            trace.note("tandem.hop.shared_memory", call.shared_memory)
        if not connection:
            return await self._send_by_grpc(line, data, tuple(metadata.items()), deadline)
        deadline.check("the predictor was called")
        try:
            return await connection.call(data, metadata, deadline)
        except Refused as refused:
            head = refused.head
            raise _error(STATUSES.get(head.status, grpc.StatusCode.UNKNOWN), head.details, head.retry_after) from None

    async def _send_by_grpc(
        self, line: Line, data: bytes, metadata: tuple[tuple[str, str], ...], deadline: Deadline
    ) -> Answer:
        """Call, and again after a pause if the call was never sent and retries are left."""
        attempt = 0
        while True:
            deadline.check("the predictor was called")
            rpc = line.infer(data, timeout=deadline.remaining, metadata=metadata)
            try:
                reply = await rpc
                self._budget.refill()
                return reply, _phases(await rpc.trailing_metadata())
            except grpc.aio.AioRpcError as error:
                if (
                    attempt == self._address.retries
                    or not never_sent(error.code(), error.details())
                    or not self._budget.take()
                ):
                    raise _rpc_error(error) from None
            left = deadline.remaining
            await asyncio.sleep(pause(attempt) if left is None else min(pause(attempt), left))
            attempt += 1


async def _retire(line: Line, keeping: asyncio.Task[None]) -> None:
    """Close what was replaced when nobody is on it any more."""
    await line.idle()
    keeping.cancel()
    await asyncio.wait([keeping])
    await line.channel.close(_ASIDE)


def _phases(trailing: object) -> Mapping[str, float]:
    for key, value in trailing if isinstance(trailing, (tuple, list, grpc.aio.Metadata)) else ():
        if key == "server-timing":
            phases = parse(str(value))
            return {name: seconds for name, seconds in phases.items() if name in PREDICTOR_PHASES}
    return {}


def _rpc_error(error: grpc.aio.AioRpcError) -> TandemError:
    """The status of a gRPC call as our own."""
    after = next((str(value) for key, value in error.trailing_metadata() or () if key == "retry-after"), "")
    return _error(error.code(), error.details() or "", int(after) if after.isdigit() else 0)


def _error(status: grpc.StatusCode, details: str, retry_after: int) -> TandemError:
    """The predictor's status as our own. Texts that could name addresses, paths or code are replaced."""
    if status is grpc.StatusCode.UNAVAILABLE:
        ours = details.startswith("not ready")
        return Unavailable(f"the predictor is {details}" if ours else "the predictor cannot be reached", retry_after=1)
    if status is grpc.StatusCode.CANCELLED:  # nobody here cancelled it: the predictor stopped with the call in hand
        return Unavailable("the predictor gave the request up; it is stopping", retry_after=1)
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("the request's deadline passed while the predictor worked on it")
    known = from_status(status, details)
    if isinstance(known, Internal):
        return Internal("the predictor failed on this request; its log says more")
    if retry_after:
        known.retry_after = retry_after
    return known
