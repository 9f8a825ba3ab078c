"""One trace from the client to the engine: real pairs, exporting to a real collector."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from collector import Collector, Seen, collecting, tree
from contract.client import ask
from harness import DIGITS, ROOT, Pair, start_predictor, start_transformer
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

CLIENT = "00f067aa0ba902b7"  # the caller's span
TRACED = f"--transformer={ROOT / 'tests' / 'contract' / 'traced.py'}:Traced"
INFER = "inference.GRPCInferenceService/ModelInfer"
ROUTES = {
    "http": "POST /v2/models/{model}/infer",
    "v1": "POST /v1/models/{model}:predict",
    "grpc": INFER,
    "stream": "inference.GRPCInferenceService/ModelStreamInfer",
}
HOPS = {"rest": ("POST", "POST /v2/models/{model}/infer")}
WAYS = {  # the transformer's flags and how it exports
    "local": ((), "http/protobuf"),
    "grpc": (("--local_socket=off", "--shared_memory=off"), "grpc"),
    "rest": (("--predictor_protocol=v2",), "http/protobuf"),
}
SPANS = 15


def expected(door: str, way: str) -> str:
    called, answered = HOPS.get(way, (INFER, INFER))
    return f"""\
{ROUTES[door]} [transformer server]
  decode [transformer]
  preprocess [transformer]
    lookup [transformer]
      theirs, in a thread [transformer]
  {called} [transformer client]
    {answered} [predictor server]
      decode [predictor]
      queue [predictor]
      batch [predictor]
        inference [predictor]
      encode [predictor]
  postprocess [transformer]
    theirs, on the loop [transformer]
  encode [transformer]"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@contextmanager
def traced_pair(collector: Collector, *flags: str, protocol: str = "http/protobuf", **more: str) -> Iterator[Pair]:
    environ = collector.environ(protocol) | more
    predictor = start_predictor("--model_name=m", f"--model_dir={DIGITS}", env=environ)
    try:
        port = predictor.http_port if "--predictor_protocol=v2" in flags else predictor.grpc_port
        transformer = start_transformer(port, "--model_name=m", TRACED, *flags, env=environ)
        try:
            yield Pair(transformer, predictor, "m")
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


@pytest.fixture(scope="module")
def pairs(collector: Collector) -> Iterator[dict[str, Pair]]:
    """A pair for each way to the predictor, started when first asked for."""
    with traced_pair(collector) as local, traced_pair(collector, *WAYS["grpc"][0], protocol="grpc") as plain:  # noqa: SIM117 - too long for one
        with traced_pair(collector, *WAYS["rest"][0]) as rest:
            yield {"local": local, "grpc": plain, "rest": rest}


def parent(trace: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{CLIENT}-{flags}"}


def document(request_id: str = "", rows: int = 1, **parameters: Any) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "FP32", "shape": [rows, 8, 8], "data": [0.5] * 64 * rows}
    return {"id": request_id, "inputs": [tensor], "parameters": parameters}


def post(pair: Pair, body: dict[str, Any], headers: dict[str, str], path: str = "/v2/models/m/infer") -> int:
    return ask(pair.transformer.url + path, "POST", body, headers).status


def message(request_id: str = "") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="m", id=request_id)
    request.inputs.add(name="image", datatype="FP32", shape=[1, 8, 8]).contents.fp32_contents.extend([0.5] * 64)
    return request


def ask_well(pair: Pair, door: str, headers: dict[str, str]) -> None:
    """One good request through a door."""
    if door == "http":
        assert post(pair, document(), headers) == 200
    elif door == "v1":
        assert post(pair, {"instances": [[[0.5] * 8] * 8]}, headers, "/v1/models/m:predict") == 200
    else:
        with grpc.insecure_channel(pair.transformer.target) as channel:
            stub, metadata = pb_grpc.GRPCInferenceServiceStub(channel), tuple(headers.items())
            if door == "grpc":
                stub.ModelInfer(message(), metadata=metadata)
            else:
                (answer,) = stub.ModelStreamInfer(iter([message()]), metadata=metadata)
                assert not answer.error_message


def one(spans: list[Seen], name: str, service: str, kind: str = "internal") -> Seen:
    (found,) = [span for span in spans if (span.name, span.service, span.kind) == (name, f"tandem-{service}", kind)]
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("door", ROUTES)
def test_a_trace_leads_from_the_client_through_either_door_to_the_engine(collector, pairs, door, way) -> None:
    trace = secrets.token_hex(16)
    ask_well(pairs[way], door, parent(trace))
    spans = collector.trace(trace, SPANS)
    assert tree(spans, CLIENT) == expected(door, way)
    assert not any(span.failed for span in spans)


def test_a_span_lies_within_its_parent_in_time(collector, pairs) -> None:
    trace = secrets.token_hex(16)
    ask_well(pairs["local"], "http", parent(trace))
    spans = {span.id: span for span in collector.trace(trace, SPANS)}
    slack = 1_000_000  # nanoseconds; spans of what is over are put on the calendar's clock afterwards
    for span in spans.values():
        if outer := spans.get(span.parent):
            assert outer.start - slack <= span.start <= span.end <= outer.end + slack, span.name
    queue, batch = (one(list(spans.values()), name, "predictor") for name in ("queue", "batch"))
    assert abs(queue.end - batch.start) < slack


@pytest.mark.parametrize(("way", "transport"), [("local", "local"), ("grpc", "grpc")])
def test_spans_say_what_the_conventions_ask_and_what_tandem_knows(collector, pairs, way, transport) -> None:
    trace = secrets.token_hex(16)
    assert post(pairs[way], document("my-id"), parent(trace)) == 200
    spans = collector.trace(trace, SPANS)
    tandem = {"tandem.model.name": "m", "tandem.model.version": "1", "tandem.request.id": "my-id"}
    http = {"http.request.method": "POST", "http.route": "/v2/models/{model}/infer", "http.response.status_code": 200}
    assert one(spans, ROUTES["http"], "transformer", "server").attributes == http | tandem
    rpc = {"rpc.system.name": "grpc", "rpc.method": INFER}
    where = {"server.address": "127.0.0.1", "server.port": pairs[way].predictor.grpc_port}
    hop = {"tandem.hop.transport": transport, "tandem.hop.shared_memory": False}
    assert one(spans, INFER, "transformer", "client").attributes == rpc | where | hop
    rows = {"tandem.batch.rows": 1}
    answered = one(spans, INFER, "predictor", "server")
    assert answered.attributes == rpc | tandem | rows | {"rpc.response.status_code": "OK"}
    assert one(spans, "batch", "predictor").attributes == rows
    assert answered.resource["service.version"]


def test_a_rest_predictor_is_called_in_the_conventions_of_http(collector, pairs) -> None:
    trace = secrets.token_hex(16)
    ask_well(pairs["rest"], "grpc", parent(trace))
    port = pairs["rest"].predictor.http_port
    assert one(collector.trace(trace, SPANS), "POST", "transformer", "client").attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.full": f"http://127.0.0.1:{port}/v2/models/m/infer",
        "server.address": "127.0.0.1",
        "server.port": port,
    }


def test_traces_of_requests_that_share_batches_are_not_mixed(collector, pairs) -> None:
    ids = {secrets.token_hex(16): f"id-{number}" for number in range(24)}
    with ThreadPoolExecutor(8) as threads:
        statuses = threads.map(lambda trace: post(pairs["local"], document(ids[trace]), parent(trace)), ids)
        assert set(statuses) == {200}
    for trace, request_id in ids.items():
        spans = collector.trace(trace, SPANS)
        assert tree(spans, CLIENT) == expected("http", "local")
        named = {span.attributes["tandem.request.id"] for span in spans if span.kind == "server"}
        assert named == {request_id}


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_what_the_caller_does_not_record_is_not_recorded_here_either(collector, pairs, door) -> None:
    unwanted, wanted = secrets.token_hex(16), secrets.token_hex(16)
    ask_well(pairs["local"], door, parent(unwanted, "00"))
    ask_well(pairs["local"], door, parent(wanted))
    collector.trace(wanted, SPANS)  # what ended later has come
    assert not collector.of(unwanted)


def test_without_a_caller_a_trace_begins_here_and_the_log_names_it(collector, pairs) -> None:
    assert post(pairs["local"], document("alone"), {}) == 200
    names = [
        service.process.wait_for(lambda line: (e := json.loads(line)).get("id") == "alone" and e["trace_id"])
        for service in (pairs["local"].transformer, pairs["local"].predictor)
    ]
    assert names[0] == names[1]
    assert tree(collector.trace(names[0], SPANS)) == expected("http", "local")


def test_a_request_that_is_the_callers_fault_is_no_error_of_the_servers_span(collector, pairs) -> None:
    trace = secrets.token_hex(16)
    body = document()
    body["inputs"][0] |= {"shape": [1, 4, 4], "data": [0.5] * 16}
    assert post(pairs["local"], body, parent(trace)) == 400
    spans = collector.trace(trace, 2)
    server = one(spans, ROUTES["http"], "transformer", "server")
    assert (server.failed, server.attributes["http.response.status_code"]) == (False, 400)


def test_a_failure_of_ours_is_an_error_of_the_phase_and_of_the_server(collector, pairs) -> None:
    trace = secrets.token_hex(16)
    assert post(pairs["local"], document(fail=True), parent(trace)) == 500
    spans = collector.trace(trace, 5)
    server = one(spans, ROUTES["http"], "transformer", "server")
    assert (server.failed, server.attributes["error.type"]) == (True, "INTERNAL")
    assert server.attributes["http.response.status_code"] == 500
    assert one(spans, "preprocess", "transformer").failed
    assert {span.service for span in spans} == {"tandem-transformer"}


def test_what_the_predictor_refuses_is_an_error_of_the_call_to_it(collector, pairs) -> None:
    trace = secrets.token_hex(16)
    assert post(pairs["local"], document(rows=2000), parent(trace)) == 400  # more than its queue holds
    spans = collector.trace(trace, 8)
    called = one(spans, INFER, "transformer", "client")
    assert (called.failed, called.attributes["error.type"]) == (True, "INVALID_ARGUMENT")
    answered = one(spans, INFER, "predictor", "server")
    assert (answered.failed, answered.attributes["rpc.response.status_code"]) == (False, "INVALID_ARGUMENT")


def test_the_variables_of_the_sdk_are_honoured(collector) -> None:
    settings = {
        "OTEL_SERVICE_NAME": "tandem-mine",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        "OTEL_PROPAGATORS": "tracecontext",
    }
    begun, followed = len(collector.spans), secrets.token_hex(16)
    with traced_pair(collector, **settings) as pair:
        ask_well(pair, "http", {})
        ask_well(pair, "http", parent(followed))
        spans = collector.trace(followed, SPANS)
    assert {span.service for span in spans} == {"tandem-mine"}
    assert spans[0].resource["deployment.environment.name"] == "test"
    assert {span.trace for span in collector.spans[begun:]} == {followed}
