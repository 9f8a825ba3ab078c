"""The channel to the predictor: retries, restarts, sizes, readiness and what its errors do not say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from grpc import StatusCode
from tandem import errors
from tandem.doors.ledger import PENDING
from tandem.inference import InferRequest
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.oip import inference_pb2 as pb
from tandem_transformer import predictor
from transformer.fakes import Servicer, aborting, call, client, hang, serving, start

REQUEST = InferRequest("m", "", {"x": np.float32([[1, 2, 3]])})
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|:\d+|ipv4|ipv6|unix|sock|localhost")


@pytest.fixture
async def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
async def port(servicer) -> AsyncIterator[int]:
    async with serving(servicer) as bound:
        yield bound


async def free_port() -> int:
    """A port that nobody listens on."""
    server, bound = await start(Servicer())
    await server.stop(None)
    return bound


def pauses_of(monkeypatch: pytest.MonkeyPatch, pause: Callable[[float], Awaitable[object]]) -> list[float]:
    """The pauses that the client makes between two attempts, from now on; each is spent in `pause`."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await pause(seconds)

    monkeypatch.setattr(predictor, "asyncio", SimpleNamespace(sleep=sleep))
    return pauses


async def nothing(_seconds: float) -> None:
    return None


@pytest.mark.parametrize(("retries", "expected"), [(0, []), (1, [0.1]), (6, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0])])
async def test_a_call_that_could_not_be_sent_is_tried_again_after_growing_pauses(monkeypatch, retries, expected):
    pauses = pauses_of(monkeypatch, nothing)
    async with client(await free_port(), retries=retries) as made:
        with pytest.raises(errors.Unavailable, match=r"^the predictor cannot be reached$") as caught:
            await made.infer(REQUEST, call())
    assert (pauses, caught.value.retry_after) == (expected, 1)


async def test_a_retry_finds_the_predictor_that_has_come_meanwhile(servicer, monkeypatch):
    port, started = await free_port(), []

    async def wait_for_the_channel(seconds: float) -> None:
        if not started:
            started.append((await start(servicer, port))[0])
        await asyncio.sleep(seconds)  # the client's own pause, in which its channel reconnects

    pauses = pauses_of(monkeypatch, wait_for_the_channel)
    async with client(port, retries=8) as made:
        answer = await made.infer(REQUEST, call())
    await started[0].stop(None)
    assert answer.outputs["x"].tolist() == [[1, 2, 3]]
    assert sum(pauses) < 2  # the first success comes within 2 s of the predictor being there
    assert len(servicer.requests) == 1


async def test_after_a_restart_on_the_same_port_the_same_client_is_answered_within_two_seconds(servicer):
    server, port = await start(servicer)
    async with client(port) as once, client(port, retries=8) as made:
        await made.infer(REQUEST, call())
        await once.infer(REQUEST, call())
        await server.stop(None)
        with pytest.raises(errors.Unavailable):
            await once.infer(REQUEST, call())
        async with serving(servicer, port), asyncio.timeout(2):
            await made.infer(REQUEST, call())
    assert len(servicer.requests) == 3


async def test_that_the_predictor_has_gone_is_known_without_a_call(servicer):
    server, port = await start(servicer)
    async with client(port) as made:
        assert not made.connected
        await made.infer(REQUEST, call())
        assert made.connected
        await server.stop(None)
        async with asyncio.timeout(5):
            while made.connected:  # noqa: ASYNC110 - there is nothing else to wait for
                await asyncio.sleep(0.01)


async def test_no_pause_is_longer_than_the_time_that_the_request_has_left(monkeypatch):
    pauses = pauses_of(monkeypatch, nothing)
    async with client(await free_port(), retries=6) as made:
        with pytest.raises(errors.TandemError):
            await made.infer(REQUEST, call(seconds=0.5))
    assert max(pauses) <= 0.5


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED])
async def test_what_was_sent_is_never_sent_again(servicer, port, code, monkeypatch):
    pauses = pauses_of(monkeypatch, nothing)
    servicer.behaviour = aborting(code, "not now")
    async with client(port, retries=5) as made:
        with pytest.raises(errors.TandemError):
            await made.infer(REQUEST, call())
    assert (len(servicer.requests), pauses) == (1, [])


async def test_a_predictor_that_stops_with_the_call_in_hand_is_unavailable_and_not_asked_again(servicer):
    servicer.behaviour = hang
    server, port = await start(servicer)
    async with client(port, retries=5) as made:
        asking = asyncio.create_task(made.infer(REQUEST, call()))
        await servicer.called.wait()
        await server.stop(None)
        with pytest.raises(errors.Unavailable) as caught:
            await asking
    assert (caught.value.http_status, caught.value.retry_after, len(servicer.requests)) == (503, 1, 1)
    assert not ADDRESS.search(caught.value.message)


async def test_a_caller_that_leaves_cancels_the_call_at_the_predictor(servicer, port):
    left = asyncio.Event()

    async def patient(request, context):
        try:
            return await hang(request, context)
        finally:
            left.set()

    servicer.behaviour = patient
    async with client(port) as made:
        asking = asyncio.create_task(made.infer(REQUEST, call()))
        await servicer.called.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(left.wait(), 5)


@pytest.mark.parametrize("kind", ["port", "name", "socket"])
async def test_a_predictor_that_is_away_is_unavailable_without_its_address(kind, tmp_path):
    port = await free_port()
    target = {"port": f"127.0.0.1:{port}", "name": f"localhost:{port}", "socket": f"unix://{tmp_path}/none.sock"}[kind]
    async with client(target) as made:
        for asking in (made.infer(REQUEST, call()), made.ready("m", pending=False), made.metadata("m")):
            with pytest.raises(errors.Unavailable, match=r"^the predictor cannot be reached$") as caught:
                await asking
            assert not ADDRESS.search(caught.value.message)


async def test_a_unix_socket_serves_like_a_port(servicer, tmp_path):
    target = f"unix://{tmp_path}/p.sock"
    async with serving(servicer, target), client(target) as made:
        assert (await made.infer(REQUEST, call())).outputs["x"].tolist() == [[1, 2, 3]]


async def test_requests_at_the_same_time_share_one_connection(servicer, port):
    async with client(port) as made:
        await asyncio.gather(*(made.infer(replace(REQUEST, id=str(number)), call()) for number in range(100)))
    assert {request.id for request in servicer.requests} == {str(number) for number in range(100)}
    assert len(servicer.peers) == 1


@pytest.mark.parametrize("size", [100, 300])
async def test_a_message_over_the_limit_is_413_in_either_direction(servicer, port, size):
    async def wordy(_request, _context):
        return pb.ModelInferResponse(model_name="m" * 500)

    servicer.behaviour = wordy
    async with client(port, most=200, retries=3) as made:
        with pytest.raises(errors.PayloadTooLarge, match="larger than max") as caught:
            await made.infer(InferRequest("m" * size, "", REQUEST.inputs), call())
    assert caught.value.http_status == 413
    assert not ADDRESS.search(caught.value.message)
    assert len(servicer.requests) == (1 if size < 200 else 0)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"datatype": "FP32", "shape": [2]}, "tensor 'y': 3 bytes of data, expected 8 for FP32 [2]"),
        ({"datatype": "FP31", "shape": [2]}, "tensor 'y': unknown datatype 'FP31', expected one of "),
        ({"datatype": "UINT8", "shape": [-1]}, "tensor 'y': shape [-1] has a negative dimension"),
    ],
)
async def test_an_answer_that_breaks_the_protocol_is_the_servers_fault(servicer, port, tensor, message):
    async def broken(_request, _context):
        return pb.ModelInferResponse(outputs=[{"name": "y", **tensor}], raw_output_contents=[b"abc"])

    servicer.behaviour = broken
    async with client(port) as made:
        with pytest.raises(errors.Internal, match=re.escape(f"the predictor's answer breaks the protocol: {message}")):
            await made.infer(REQUEST, call())


async def test_metadata_and_readiness_are_asked_for(servicer, port):
    async with client(port) as made:
        assert await made.metadata("m") == ModelMetadata(
            "m", ("1",), "onnx", (TensorSpec("x", "FP32", (-1, 3)),), (), {"a": "b"}
        )
        with pytest.raises(errors.NotFound, match="'x' is not found"):
            await made.metadata("x")
        assert await made.ready("m", pending=False)
        servicer.ready = False
        assert not await made.ready("m", pending=True)
        servicer.ready = StatusCode.UNIMPLEMENTED
        with pytest.raises(errors.Unimplemented):
            await made.ready("m", pending=False)
    assert [PENDING in seen for seen in servicer.headers] == [False, True, False]
