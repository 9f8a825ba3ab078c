"""Behind an Envoy that routes by the Host, as KServe's ingress does: the page's curl, gRPC, restarts and drains."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from contract.client import Reply, ask
from deploy.ingress import GRPC, REST, ingress
from foreign import grpcurl
from harness import DEFAULT_MODEL, DIGITS, PATIENCE, Pair, running_pair, start_transformer
from parts import require, shared
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

PAGE = "/v2/models/custom-model/infer"
WIDE = np.random.default_rng(5).random((1, 1536, 1024), np.float32)  # 6.3 MB
AUTHORITY = [("grpc.default_authority", GRPC), ("grpc.max_receive_message_length", 2**24)]
ECHO = """
from tandem import TensorSpec


class Model:
    inputs = [TensorSpec("x", "FP32", [-1, 1536, 1024])]
    outputs = [TensorSpec("y", "FP32", [-1, 1536, 1024])]

    def predict(self, inputs):
        return {"y": inputs["x"]}
"""


DIGITS_TRANSFORMER = ("--model_name=digits", "--transformer=identity")
IMAGE = np.random.default_rng(3).random((1, 8, 8), np.float32)


@contextmanager
def digits(*flags: str) -> Iterator[Pair]:
    """A pair of a small model."""
    with running_pair("digits", (f"--model_dir={DIGITS}",), ("--transformer=identity", *flags)) as pair:
        yield pair


def infer(port: int) -> Reply:
    """A small request over HTTP on a connection of its own."""
    tensor = {"name": "image", "shape": IMAGE.shape, "datatype": "FP32", "data": IMAGE.ravel().tolist()}
    url = f"http://127.0.0.1:{port}/v2/models/digits/infer"
    return ask(url, "POST", json.dumps({"inputs": [tensor]}).encode(), {"Host": REST})


def by_http(port: int, outcomes: Counter[str], over: threading.Event) -> None:
    """Ask over one connection after another; Envoy says so itself where it has nobody to ask."""
    while not over.is_set():
        reply = infer(port)
        refused = reply.status == 503 and reply.body == b"no healthy upstream"
        outcomes["answered" if reply.status == 200 else "no endpoint" if refused else repr(reply)] += 1


def by_grpc(port: int, outcomes: Counter[str], over: threading.Event) -> None:
    """The same over one channel."""
    message = pb.ModelInferRequest(model_name="digits", raw_input_contents=[IMAGE.tobytes()])
    message.inputs.add(name="image", datatype="FP32", shape=IMAGE.shape)
    with grpc.insecure_channel(f"127.0.0.1:{port}", AUTHORITY) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        while not over.is_set():
            try:
                stub.ModelInfer(message, timeout=PATIENCE)
                outcomes["answered"] += 1
            except grpc.RpcError as error:
                refused = error.code() is grpc.StatusCode.UNAVAILABLE and error.details() == "no healthy upstream"
                outcomes["no endpoint" if refused else repr(error)] += 1


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until it does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an Envoy before a pair that gives back what it gets."""
    folder: Path = tmp_path_factory.mktemp("echo")
    (folder / "model.py").write_text(ECHO)
    flags = (f"--model_dir={folder}", "--allow_python_models")
    with (
        running_pair("custom-model", flags, ("--transformer=identity",)) as pair,
        ingress(pair.transformer, tmp_path_factory.mktemp("envoy")) as port,
    ):
        yield port


def test_the_pages_curl_is_answered_through_the_ingress(tmp_path: Path) -> None:
    body = shared("seed/input.json")
    with (
        running_pair("custom-model", (f"--model_dir={DEFAULT_MODEL}",), ("--protocol=grpc-v2",)) as pair,
        ingress(pair.transformer, tmp_path) as port,
    ):
        headers = ("-H", f"Host: {REST}", "-H", "Content-Type: application/json")
        command = [require("curl"), "-sS", *headers, "-d", f"@{body}", f"http://127.0.0.1:{port}{PAGE}"]
        answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["output-0"]["shape"] == [1, 5]
    assert outputs["labels"]["data"][0] == "Labrador retriever"


def test_megabytes_pass_in_both_directions(echo: int) -> None:
    tensor = {"name": "x", "shape": WIDE.shape, "datatype": "FP32", "parameters": {"binary_data_size": WIDE.nbytes}}
    described = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Host": REST, "Inference-Header-Content-Length": str(len(described))}
    answer = ask(f"http://127.0.0.1:{echo}{PAGE}", "POST", described + WIDE.tobytes(), headers)
    assert answer.status == 200
    assert answer.body.endswith(WIDE.tobytes())


def test_grpc_is_routed_by_its_authority_unary_and_as_a_stream(echo: int) -> None:
    message = pb.ModelInferRequest(model_name="custom-model", raw_input_contents=[WIDE.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=WIDE.shape)
    with grpc.insecure_channel(f"127.0.0.1:{echo}", AUTHORITY) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        answers = [stub.ModelInfer(message, timeout=30)]
        answers += [answer.infer_response for answer in stub.ModelStreamInfer(iter([message] * 3), timeout=30)]
    assert [answer.raw_output_contents[0] == WIDE.tobytes() for answer in answers] == [True] * 4


def test_grpcurl_lists_and_asks_with_an_authority(echo: int) -> None:
    target = f"127.0.0.1:{echo}"
    assert "inference.GRPCInferenceService" in grpcurl("-authority", GRPC, target, "list")
    ready = grpcurl("-authority", GRPC, target, "inference.GRPCInferenceService/ServerReady")
    assert json.loads(ready) == {"ready": True}


def test_another_host_is_not_ours(echo: int) -> None:
    assert ask(f"http://127.0.0.1:{echo}/v2", headers={"Host": "other.default.example.com"}).status == 404
    assert ask(f"http://127.0.0.1:{echo}/v2", headers={"Host": REST}).status == 200


def test_a_transformer_that_was_killed_is_found_again(tmp_path: Path) -> None:
    with digits() as pair, ingress(pair.transformer, tmp_path) as port:
        assert infer(port).status == 200
        pair.transformer.process.kill()
        ports = (f"--http_port={pair.transformer.http_port}", f"--grpc_port={pair.transformer.grpc_port}")
        again = start_transformer(pair.predictor.grpc_port, *DIGITS_TRANSFORMER, *ports)
        try:
            eventually(lambda: infer(port).status == 200)
        finally:
            again.process.stop()


def test_a_drain_under_load_loses_nothing_that_envoy_sent(tmp_path: Path) -> None:
    with digits("--drain_delay=2") as pair, ingress(pair.transformer, tmp_path) as port:
        outcomes: Counter[str] = Counter()
        over = threading.Event()
        clients = [threading.Thread(target=client, args=(port, outcomes, over)) for client in (by_http, by_grpc) * 4]
        for thread in clients:
            thread.start()
        eventually(lambda: outcomes["answered"] > 200)
        pair.transformer.process.send(signal.SIGTERM)
        assert pair.transformer.process.end() == 0
        over.set()
        for thread in clients:
            thread.join()
    assert outcomes["answered"] > 200
    assert set(outcomes) <= {"answered", "no endpoint"}, outcomes
