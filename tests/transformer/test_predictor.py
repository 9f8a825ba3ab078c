"""The client of the predictor, against a real gRPC server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from grpc import StatusCode
from tandem import errors
from tandem.deadline import Deadline
from tandem.inference import InferRequest, RequestedOutput
from tandem.tensors import objects
from tandem_transformer import predictor
from transformer.fakes import Servicer, aborting, call, client, echo, hang, serving

KINDS = ("bool_param", "int64_param", "double_param", "string_param")
FAILED = "the predictor failed on this request; its log says more"
REQUEST = InferRequest("m", "", {"x": np.float32([[1, 2, 3]])})
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|:\d{4,}|ipv4|ipv6|unix:|/tmp|localhost")


@pytest.fixture
async def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
async def port(servicer) -> AsyncIterator[int]:
    async with serving(servicer) as bound:
        yield bound


async def test_a_request_and_its_answer_travel_whole(servicer, port):
    arrays = {"x": REQUEST.inputs["x"], "b": objects([b"", b"\xff\0"]).reshape(1, 2), "n": np.empty((0, 4), np.int64)}
    parameters = {"flag": True, "n": 3, "f": 1.5, "s": "t"}
    outputs = (RequestedOutput("x", {"classification": 2}),)
    async with client(port) as made:
        answer = await made.infer(InferRequest("m", "2", arrays, "id-1", outputs, parameters), call())
    (seen,) = servicer.requests
    assert (seen.model_name, seen.model_version, seen.id) == ("m", "2", "id-1")
    assert {
        name: getattr(seen.parameters[name], kind) for name, kind in zip(parameters, KINDS, strict=True)
    } == parameters
    assert [(output.name, output.parameters["classification"].int64_param) for output in seen.outputs] == [("x", 2)]
    assert (answer.model_version, answer.id) == ("7", "id-1")
    for name, array in arrays.items():
        assert (answer.outputs[name].dtype, answer.outputs[name].tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize(
    ("code", "text", "cls", "message", "retry_after"),
    [
        (StatusCode.INVALID_ARGUMENT, "input 'x': wrong", errors.InvalidInput, "input 'x': wrong", None),
        (StatusCode.OUT_OF_RANGE, "too far", errors.InvalidInput, "too far", None),
        (StatusCode.FAILED_PRECONDITION, "not so", errors.FailedPrecondition, "not so", None),
        (StatusCode.NOT_FOUND, "no model", errors.NotFound, "no model", None),
        (StatusCode.RESOURCE_EXHAUSTED, "the queue is full", errors.Overloaded, "the queue is full", 1),
        (StatusCode.RESOURCE_EXHAUSTED, "larger than max", errors.PayloadTooLarge, "larger than max", None),
        (StatusCode.UNAVAILABLE, "not ready: loading", errors.Unavailable, "the predictor is not ready: loading", 1),
        (StatusCode.UNAVAILABLE, "10.0.0.3:80 is gone", errors.Unavailable, "the predictor cannot be reached", 1),
        (StatusCode.UNIMPLEMENTED, "no such", errors.Unimplemented, "no such", None),
        (StatusCode.INTERNAL, "internal error", errors.Internal, FAILED, None),
        (StatusCode.DATA_LOSS, "lost", errors.Internal, FAILED, None),
        (StatusCode.UNKNOWN, "Unexpected ValueError", errors.Internal, FAILED, None),
        (
            *(StatusCode.CANCELLED, "", errors.Unavailable),
            *("the predictor gave the request up; it is stopping", 1),
        ),
        (
            *(StatusCode.DEADLINE_EXCEEDED, "", errors.DeadlineExceeded),
            *("the request's deadline passed while the predictor worked on it", None),
        ),
    ],
)
async def test_each_status_becomes_the_error_that_stands_for_it(servicer, port, code, text, cls, message, retry_after):
    servicer.behaviour = aborting(code, text)
    async with client(port, retries=3) as made:
        with pytest.raises(errors.TandemError) as caught:
            await made.infer(REQUEST, call())
    assert (type(caught.value), caught.value.message, caught.value.retry_after) == (cls, message, retry_after)
    assert len(servicer.requests) == 1  # it was sent: no second time


async def test_the_predictors_retry_after_reaches_the_caller(servicer, port):
    servicer.behaviour = aborting(StatusCode.RESOURCE_EXHAUSTED, "full", ("retry-after", "7"))
    async with client(port) as made:
        with pytest.raises(errors.Overloaded) as caught:
            await made.infer(REQUEST, call())
    assert caught.value.retry_after == 7


async def test_an_exception_in_a_foreign_predictor_does_not_echo_paths_or_addresses(servicer, port):
    async def broken(_request, _context):
        raise RuntimeError("/models/secret.onnx at 10.0.0.3:99")

    servicer.behaviour = broken
    async with client(port) as made:
        with pytest.raises(errors.Internal) as caught:
            await made.infer(REQUEST, call())
    assert "secret" not in caught.value.message
    assert not ADDRESS.search(caught.value.message)


async def test_a_server_that_answers_in_grpcs_words_is_still_called_once(servicer, port):
    servicer.behaviour = aborting(StatusCode.UNAVAILABLE, "failed to connect to the feature store")
    async with client(port, retries=3) as made:
        with pytest.raises(errors.Unavailable):
            await made.infer(REQUEST, call())
    assert len(servicer.requests) == 1


async def test_the_predictors_phases_are_merged_and_the_rest_is_the_hop(servicer, port):
    async def timed(request, context):
        phases = (
            "decode;dur=0.001, queue;dur=0.02, batch;dur=0.03, inference;dur=0.04, theirs;dur=9e9, encode;dur=0.001"
        )
        context.set_trailing_metadata((("server-timing", phases), ("other", "x")))
        return await echo(request, context)

    servicer.behaviour = timed
    made_call = call()
    made_call.timings.add("decode", 5)
    made_call.timings.add("queue", 1)
    async with client(port) as made:
        await made.infer(REQUEST, made_call)
    phases = dict(made_call.timings.items())
    assert 0 < phases.pop("hop") < 5
    assert phases == pytest.approx({"decode": 5, "queue": 1.00002, "batch": 0.00003, "inference": 0.00004})


@pytest.mark.parametrize("timing", [None, "", "nonsense", "queue", "queue;dur=x", "inference;dur=1e12"])
async def test_an_odd_or_missing_server_timing_leaves_a_hop_that_is_not_negative(servicer, port, timing):
    async def timed(request, context):
        context.set_trailing_metadata(() if timing is None else (("server-timing", timing),))
        return await echo(request, context)

    servicer.behaviour = timed
    async with client(port) as made:
        await made.infer(REQUEST, made_call := call())
    hop = dict(made_call.timings.items())["hop"]
    assert hop == 0 if timing and "e12" in timing else hop > 0


async def test_trace_headers_go_with_the_request_and_nothing_private_does(servicer, port):
    forwarded = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    forwarded |= {"baggage": "k=v", "b3": "0", "x-b3-traceid": "1", "x-b3-spanid": "2", "x-b3-sampled": "1"}
    private = {"authorization": "Bearer t", "cookie": "c", "x-request-id": "of the header", "server-timing": "x"}
    async with client(port) as made:
        await made.infer(replace(REQUEST, id="id-9"), call(headers=forwarded | private))
    seen = servicer.headers[0]
    assert {name: seen.get(name) for name in forwarded} == forwarded
    assert servicer.requests[0].id == "id-9"
    assert not {"authorization", "cookie", "server-timing", "x-request-id"} & set(seen)  # the id is in the message


@pytest.mark.parametrize("request_id", ["größe-1", "a\nb", "tab\there", "x" * 20_000], ids=lambda text: text[:9])
async def test_an_id_of_any_text_is_served(servicer, port, request_id):
    async with client(port) as made:
        await made.infer(REQUEST, call(request_id))
    assert len(servicer.requests) == 1


async def test_a_trace_header_of_any_text_is_served(servicer, port):
    async with client(port) as made:
        await made.infer(REQUEST, call(headers={"traceparent": "é"}))
    assert len(servicer.requests) == 1


async def test_the_deadline_is_forwarded_less_the_margin(servicer, port, monkeypatch):
    async with client(port) as made:
        await made.infer(REQUEST, call(seconds=100))
        await made.infer(REQUEST, call())
        monkeypatch.setattr(predictor, "MARGIN", 40)
        await made.infer(REQUEST, call(seconds=100))
    usual, endless, less = servicer.remaining
    assert 90 < usual <= 100
    assert endless is None
    assert 50 < less < 61


async def test_a_request_whose_time_is_over_is_not_sent_and_one_that_hangs_ends_in_time(servicer, port):
    servicer.behaviour = hang
    async with client(port, retries=3) as made:
        late = call()
        late.deadline = Deadline(at=0.0)
        with pytest.raises(errors.DeadlineExceeded, match=r"before the predictor was called$"):
            await made.infer(REQUEST, late)
        assert not servicer.requests
        with pytest.raises(errors.DeadlineExceeded, match=r"while the predictor worked on it$"):
            await made.infer(REQUEST, call(seconds=0.1))
    assert len(servicer.requests) == 1
