"""Predictors that speak REST, against real aiohttp servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import orjson
import pytest
from aiohttp import web
from tandem.deadline import Deadline
from tandem.errors import (
    DeadlineExceeded,
    Internal,
    InvalidInput,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    TandemError,
    Unavailable,
)
from tandem.inference import Call, InferRequest
from tandem_transformer.hop.forwarding import Forwarding
from tandem_transformer.rest_predictor import RestPredictor, V1Predictor, V2Predictor

Handler = Callable[[web.Request], Awaitable[web.Response]]
X = np.array([[1.5, -2.0]], np.float32)
LIMIT = 100_000


@asynccontextmanager
async def serving(handler: Handler, kind: type[RestPredictor]) -> AsyncIterator[RestPredictor]:
    """A predictor of `kind` whose server answers everything with `handler`."""
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    predictor = kind(f"http://127.0.0.1:{runner.addresses[0][1]}", LIMIT, Forwarding())
    try:
        yield predictor
    finally:
        await predictor.close()
        await runner.cleanup()


def call(seconds: float | None = 10, **headers: str) -> Call:
    made = Call("http", "m", Deadline.after(seconds), {name.replace("_", "-"): text for name, text in headers.items()})
    made.id = "id-1"
    return made


def request() -> InferRequest:
    return InferRequest(model_name="m", model_version="", id="id-1", inputs={"x": X})


def answering(status: int, document: object, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return web.Response(status=status, body=orjson.dumps(document), headers=named)

    return handler


V2_ANSWER = {
    "model_name": "m",
    "model_version": "3",
    "id": "id-1",
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 4]}],
}


async def test_a_v2_request_is_the_protocols_json_with_the_trace_and_the_id() -> None:
    seen: list[tuple[str, str, object, str, str]] = []

    async def handler(http: web.Request) -> web.Response:
        document = orjson.loads(await http.read())
        seen.append((http.method, http.path, document, http.headers["traceparent"], http.headers["x-request-id"]))
        return web.Response(body=orjson.dumps(V2_ANSWER))

    async with serving(handler, V2Predictor) as predictor:
        response = await predictor.infer(request(), call(traceparent="00-1-2-01"))
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -2.0]}
    assert seen == [("POST", "/v2/models/m/infer", {"id": "id-1", "inputs": [tensor]}, "00-1-2-01", "id-1")]
    assert response.outputs["y"].tolist() == [[0.25, 4.0]]
    assert response.model_version == "3"


async def test_a_v1_request_has_an_instance_a_row_and_its_predictions_are_the_output() -> None:
    seen: list[tuple[str, object]] = []

    async def handler(http: web.Request) -> web.Response:
        seen.append((http.path, orjson.loads(await http.read())))
        return web.Response(body=orjson.dumps({"predictions": [[0.5, 0.5]]}))

    async with serving(handler, V1Predictor) as predictor:
        response = await predictor.infer(request(), call())
    assert seen == [("/v1/models/m:predict", {"instances": [[1.5, -2.0]]})]
    assert response.outputs["predictions"].tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("kind", [V1Predictor, V2Predictor])
@pytest.mark.parametrize(
    ("status", "expected", "words"),
    [
        (400, InvalidInput, "the tensor is odd"),
        (422, InvalidInput, "the tensor is odd"),
        (404, NotFound, "the tensor is odd"),
        (413, PayloadTooLarge, "the tensor is odd"),
        (429, Overloaded, "the tensor is odd"),
        (500, Internal, "the predictor failed on this request; its log says more"),
        (503, Unavailable, "the predictor is not ready"),
        (504, DeadlineExceeded, "the predictor took too long"),
    ],
)
async def test_each_status_becomes_the_error_that_stands_for_it(
    kind: type[V1Predictor | V2Predictor], status: int, expected: type[TandemError], words: str
) -> None:
    async with serving(answering(status, {"error": "the tensor is odd"}), kind) as predictor:
        with pytest.raises(expected) as caught:
            await predictor.infer(request(), call())
    assert type(caught.value) is expected
    assert caught.value.message == words


@pytest.mark.parametrize(("sent", "seconds"), [("7", 7), ("\u00b2", 1), ("soon", 1)])
async def test_retry_after_comes_through_if_it_is_a_number(sent: str, seconds: int) -> None:
    async with serving(answering(429, {"error": "full"}, Retry_After=sent), V2Predictor) as predictor:
        with pytest.raises(Overloaded) as caught:
            await predictor.infer(request(), call())
    assert caught.value.retry_after == seconds


async def test_a_deadline_ends_the_wait() -> None:
    gate = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await gate.wait()
        return web.Response()

    async with serving(handler, V2Predictor) as predictor:
        with pytest.raises(DeadlineExceeded):
            await predictor.infer(request(), call(0.1))
        gate.set()


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_over_the_limit_is_not_taken(chunked: bool) -> None:
    async def handler(_: web.Request) -> web.Response:
        response = web.Response(body=b" " * (LIMIT + 1))
        if chunked:
            response.enable_chunked_encoding()
        return response

    async with serving(handler, V2Predictor) as predictor:
        with pytest.raises(PayloadTooLarge, match="larger than 100000 bytes"):
            await predictor.infer(request(), call())


async def test_a_predictor_that_is_not_there_is_unavailable() -> None:
    async with serving(answering(200, {}), V2Predictor) as predictor:
        pass
    gone = V2Predictor("http://127.0.0.1:1", LIMIT, Forwarding())
    try:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await gone.ready("m", pending=False)
    finally:
        await gone.close()
    assert predictor


async def test_the_predictors_phases_are_merged_and_the_rest_is_the_hop() -> None:
    timing = "queue;dur=0.01, inference;dur=0.02, hop;dur=5000"
    made = call()
    async with serving(answering(200, V2_ANSWER, Server_Timing=timing), V2Predictor) as predictor:
        await predictor.infer(request(), made)
    assert (made.timings.get("queue"), made.timings.get("inference")) == (0.00001, 0.00002)
    assert made.timings.get("hop") > 0


@pytest.mark.parametrize(
    ("kind", "document"),
    [(V2Predictor, {"outputs": 5}), (V2Predictor, {"outputs": [{"name": "y"}]}), (V1Predictor, {"outputs": []})],
)
async def test_an_answer_that_breaks_the_protocol_is_the_predictors_fault(
    kind: type[V1Predictor | V2Predictor], document: object
) -> None:
    async with serving(answering(200, document), kind) as predictor:
        with pytest.raises(Internal, match="breaks the"):
            await predictor.infer(request(), call())


async def test_metadata_is_read_or_left_open() -> None:
    described = {"name": "m", "versions": ["1"], "platform": "p", "inputs": [], "outputs": []}
    described["inputs"] = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    async with serving(answering(200, described), V2Predictor) as predictor:
        assert (await predictor.metadata("m")).inputs[0].shape == (-1, 2)
    async with serving(answering(200, ["odd"]), V2Predictor) as predictor:
        assert (await predictor.metadata("m")).inputs == ()
