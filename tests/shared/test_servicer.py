"""The gRPC door onto an endpoint, through a real server."""

import asyncio
from dataclasses import dataclass
from functools import partial

import grpc
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from shared.fakes import EchoEndpoint, grpc_channel
from tandem import timings
from tandem.doors.ledger import PENDING, Ledger
from tandem.doors.servicer import InferenceServicer
from tandem.errors import InvalidInput
from tandem.inference import Limits
from tandem.lifecycle import Part, Readiness
from tandem.metrics import ServerMetrics
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc


class WatchedLedger(Ledger):
    """Counts announcements."""

    announced = 0

    def announce(self):
        self.announced += 1
        super().announce()


@dataclass
class Door:
    stub: pb_grpc.GRPCInferenceServiceStub
    endpoint: EchoEndpoint
    part: Part
    metrics: ServerMetrics
    ledger: WatchedLedger

    def counted(self, code, model="echo"):
        labels = {"model_name": model, "protocol": "grpc", "code": code}
        return self.metrics.registry.get_sample_value("tandem_requests_total", labels)

    def infer(self, *, model="echo", timeout=10.0, metadata=(), raw=True, **more):
        message = pb.ModelInferRequest(model_name=model, **more)
        message.inputs.add(name="x", datatype="FP32", shape=[2])
        if raw:
            message.raw_input_contents.append(np.array([1, 2], "f4").tobytes())
        else:
            message.inputs[0].contents.fp32_contents.extend([1, 2])
        return self.stub.ModelInfer(message, timeout=timeout, metadata=metadata)


@pytest.fixture
async def door():
    endpoint, readiness, metrics = EchoEndpoint(), Readiness(), ServerMetrics(CollectorRegistry(), "fake", "1")
    bounds = {"max_in_flight": 1, "max_bytes": 2**30}
    ledger = WatchedLedger(metrics, endpoint.models, **bounds, default_timeout=60.0, access_log=False)
    servicer = InferenceServicer(endpoint, readiness, ledger, Limits())
    async with grpc_channel(partial(pb_grpc.add_GRPCInferenceServiceServicer_to_server, servicer)) as channel:
        part = readiness.part("model", None)
        yield Door(pb_grpc.GRPCInferenceServiceStub(channel), endpoint, part, metrics, ledger)


async def test_a_live_server_says_so_even_when_it_is_not_ready(door):
    door.part.set("loading")
    assert (await door.stub.ServerLive(pb.ServerLiveRequest(), timeout=10)).live
    assert not (await door.stub.ServerReady(pb.ServerReadyRequest(), timeout=10)).ready
    assert not (await door.stub.ModelReady(pb.ModelReadyRequest(name="echo"), timeout=10)).ready


async def test_a_ready_server_and_its_model_say_so(door):
    assert (await door.stub.ServerReady(pb.ServerReadyRequest(), timeout=10)).ready
    assert (await door.stub.ModelReady(pb.ModelReadyRequest(name="echo"), timeout=10)).ready
    assert door.ledger.announced == 0


async def test_a_poll_that_announces_work_is_a_sign_of_it(door):
    await door.stub.ModelReady(pb.ModelReadyRequest(name="echo"), timeout=10, metadata=((PENDING, "1"),))
    assert door.ledger.announced == 1


async def test_a_server_introduces_itself_and_its_model(door):
    server = await door.stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=10)
    assert (server.name, server.version, list(server.extensions)) == ("fake", "1.2.3", ["one", "two"])
    model = await door.stub.ModelMetadata(pb.ModelMetadataRequest(name="echo"), timeout=10)
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.inputs] == [("x", "FP32", [-1])]


@pytest.mark.parametrize(("method", "kind"), [("ModelReady", "ModelReady"), ("ModelMetadata", "ModelMetadata")])
async def test_an_unknown_model_is_not_found(door, method, kind):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await getattr(door.stub, method)(getattr(pb, f"{kind}Request")(name="other"), timeout=10)
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("raw", [True, False])
async def test_an_answer_is_raw_as_its_request_was(door, raw):
    answer = await door.infer(raw=raw, id="7")
    assert (answer.model_name, answer.model_version, answer.id) == ("echo", "1", "7")
    assert list(answer.raw_output_contents) == ([np.array([1, 2], "f4").tobytes()] if raw else [])
    assert list(answer.outputs[0].contents.fp32_contents) == ([] if raw else [1.0, 2.0])
    assert door.counted("OK") == 1


async def test_the_phases_come_back_as_trailing_metadata(door):
    call = door.infer()
    await call
    phases = timings.parse(dict(await call.trailing_metadata())["server-timing"])
    assert list(phases) == ["decode", "inference", "encode"]


async def test_the_endpoint_sees_metadata_id_and_deadline_of_the_caller(door):
    answer = await door.infer(metadata=(("x-request-id", "8"), ("x-user", "me")), timeout=5.0)
    (call,) = door.endpoint.calls
    assert (call.id, answer.id, call.headers["x-user"], call.protocol) == ("8", "8", "me", "grpc")
    assert 0 < call.deadline.remaining < 5.5  # gRPC rounds it up a little


async def test_without_the_callers_deadline_the_servers_own_holds(door):
    await door.infer(timeout=None)
    assert 30.0 < door.endpoint.calls[0].deadline.remaining <= 60.0


async def test_a_request_against_the_protocol_never_reaches_the_endpoint(door):
    with pytest.raises(grpc.aio.AioRpcError, match="the request has no inputs"):
        await door.stub.ModelInfer(pb.ModelInferRequest(model_name="echo"), timeout=10)
    assert door.endpoint.calls == []
    assert door.counted("INVALID_ARGUMENT") == 1


@pytest.mark.parametrize(("error", "code"), [(InvalidInput("no"), "INVALID_ARGUMENT"), (LookupError("no"), "INTERNAL")])
async def test_a_failure_of_the_endpoint_is_counted_and_told(door, error, code):
    door.endpoint.error = error
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await door.infer()
    assert failed.value.code().name == code
    assert door.counted(code) == 1


async def test_a_call_over_the_limit_is_refused_while_the_other_goes_on(door):
    door.endpoint.hold()
    first = asyncio.ensure_future(door.infer())
    await asyncio.wait_for(door.endpoint.entered.wait(), 10)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await door.infer()
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ("retry-after", "1") in tuple(failed.value.trailing_metadata())
    door.endpoint.gate.set()
    assert (await first).model_name == "echo"


async def test_an_unknown_model_is_counted_without_its_name(door):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await door.infer(model="<other>")
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert door.counted("NOT_FOUND", model="unknown") == 1
    assert b"<other>" not in door.metrics.exposition()
