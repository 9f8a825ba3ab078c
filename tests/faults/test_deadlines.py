"""A deadline ends a request in whatever phase it is, however it was given, on both doors; others notice nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing

import grpc
import pytest
from contract.client import ask
from faults.test_shutdown import GATED, IMAGE, rest_infer
from gates import Gates
from harness import DIGITS, Pair, metric, running_pair
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

SOON = 300  # milliseconds
HEADER = "x-request-timeout-ms"
MOST = 86_400_000


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Gates:
    return Gates(tmp_path_factory.mktemp("gates"))


@pytest.fixture(scope="module")
def pair(gates: Gates) -> Iterator[Pair]:
    options = f"--transformer_options=started={gates.started},gate={gates.gate}"
    flags = (f"--transformer={GATED}:Gated", options, "--max_threads=2")
    with running_pair("digits", (f"--model_dir={DIGITS}",), flags) as running, closing(gates):
        yield running


def body(**parameters: object) -> dict[str, object]:
    tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": IMAGE.ravel().tolist()}
    return {"inputs": [tensor], "parameters": parameters}


def count(pair: Pair, protocol: str) -> float:
    exposition = ask(f"{pair.transformer.url}/metrics").body.decode()
    labels = {"model_name": "digits", "protocol": protocol, "code": "DEADLINE_EXCEEDED"}
    try:
        return metric(exposition, "tandem_requests_total", **labels)
    except AssertionError:
        return 0.0


@pytest.mark.parametrize("how", ["header", "parameter"])
def test_a_request_in_preprocess_is_told_at_its_deadline_over_http(pair: Pair, gates: Gates, how: str) -> None:
    headers = {HEADER: str(SOON)} if how == "header" else {}
    parameters = {"timeout": SOON * 1000} if how == "parameter" else {}
    before = count(pair, "http")
    reply = ask(pair.infer_url, "POST", body(wait=True, **parameters), headers=headers)
    assert (reply.status, "deadline passed" in reply.json["error"]) == (504, True)
    assert count(pair, "http") == before + 1
    gates.wait_until_started(1)
    assert rest_infer(pair, wait=False).status == 200  # by the other thread
    gates.let_through()


@pytest.mark.parametrize("how", ["grpc-timeout", "parameter"])
def test_a_request_in_preprocess_is_told_at_its_deadline_over_grpc(pair: Pair, gates: Gates, how: str) -> None:
    request = pb.ModelInferRequest(model_name="digits", raw_input_contents=[IMAGE.tobytes()])
    request.inputs.add(name="image", datatype="FP32", shape=[1, 8, 8])
    request.parameters["wait"].bool_param = True
    if how == "parameter":
        request.parameters["timeout"].int64_param = SOON * 1000
    with grpc.insecure_channel(pair.transformer.target) as channel, pytest.raises(grpc.RpcError) as refused:
        pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30 if how == "parameter" else SOON / 1e3)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    gates.wait_until_started(1)
    assert rest_infer(pair, wait=False).status == 200
    gates.let_through()


def test_a_request_that_waits_for_a_thread_is_told_at_its_deadline_and_never_run(pair: Pair, gates: Gates) -> None:
    waiting = [http.client.HTTPConnection("127.0.0.1", pair.transformer.http_port, timeout=30) for _ in range(2)]
    for connection in waiting:
        connection.request("POST", "/v2/models/digits/infer", json.dumps(body(wait=True)))
    gates.wait_until_started(2)
    reply = ask(pair.infer_url, "POST", body(wait=True), headers={HEADER: str(SOON)})
    assert reply.status == 504
    gates.let_through(2)
    assert [connection.getresponse().status for connection in waiting] == [200, 200]
    assert rest_infer(pair, wait=False).status == 200
    for connection in waiting:
        connection.close()


def test_a_body_that_does_not_come_is_not_waited_for(pair: Pair) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", pair.transformer.http_port, timeout=30)
    with closing(connection):
        connection.putrequest("POST", "/v2/models/digits/infer")
        connection.putheader("Content-Length", "1000")
        connection.putheader(HEADER, str(SOON))
        connection.endheaders(b"{")
        reply = connection.getresponse()
        assert (reply.status, reply.headers["Connection"]) == (504, "close")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "", str(MOST + 1), "9" * 30, "\u0661"])
def test_a_header_that_is_no_time_is_refused(pair: Pair, value: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", pair.transformer.http_port, timeout=30)
    with closing(connection):
        connection.request("POST", "/v2/models/digits/infer", json.dumps(body()), {HEADER: value.encode()})
        reply = connection.getresponse()
        assert (reply.status, HEADER in json.loads(reply.read())["error"]) == (400, True)


@pytest.mark.parametrize("value", ["1000", str(MOST)])
def test_a_time_that_is_enough_changes_nothing(pair: Pair, value: str) -> None:
    assert ask(pair.infer_url, "POST", body(), headers={HEADER: value}).status == 200


def test_v1_has_the_same_header(pair: Pair, gates: Gates) -> None:
    url = f"{pair.transformer.url}/v1/models/digits:predict"
    assert ask(url, "POST", {"instances": [IMAGE[0].tolist()]}, headers={HEADER: "0"}).status == 400
    assert ask(url, "POST", {"instances": [IMAGE[0].tolist()]}, headers={HEADER: "10000"}).status == 200
