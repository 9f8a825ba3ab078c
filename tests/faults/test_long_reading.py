"""A tensor of millions of elements takes a second to read: everybody else is answered in between."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import grpc
import pytest
from contract.client import ask
from harness import Pair, Service, running_pair
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

MODEL = """
    from tandem import TensorSpec

    class Model:
        inputs = [TensorSpec("x", "BYTES", [-1])]
        outputs = [TensorSpec("y", "BYTES", [-1])]

        def predict(self, inputs):
            return {"y": inputs["x"]}
"""
ELEMENTS = 2**20
INFER = "/v2/models/texts/infer"
SIZE = 64 * 2**20
SHARE = 5  # of the time; who reads it all in one go holds the others up for a third of it


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("texts")
    (folder / "model.py").write_text(dedent(MODEL))
    with running_pair(
        "texts", (f"--model_dir={folder}", "--allow_python_models"), ("--transformer=identity",)
    ) as running:
        yield running


def over_http_as_json(service: Service) -> int:
    tensor = {"name": "x", "shape": [ELEMENTS], "datatype": "BYTES", "data": [""] * ELEMENTS}
    return ask(f"{service.url}{INFER}", "POST", json.dumps({"inputs": [tensor]}).encode()).status


def over_http_in_binary(service: Service) -> int:
    parameters = {"binary_data_size": 4 * ELEMENTS}
    tensor = {"name": "x", "shape": [ELEMENTS], "datatype": "BYTES", "parameters": parameters}
    described = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(described))}
    return ask(f"{service.url}{INFER}", "POST", described + bytes(4 * ELEMENTS), headers).status


def over_grpc(service: Service) -> int:
    message = pb.ModelInferRequest(model_name="texts", raw_input_contents=[bytes(4 * ELEMENTS)])
    message.inputs.add(name="x", datatype="BYTES", shape=[ELEMENTS])
    options = [("grpc.max_receive_message_length", SIZE)]
    with grpc.insecure_channel(service.target, options) as channel:
        answer = pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=60)
    return 200 if answer.raw_output_contents[0] == bytes(4 * ELEMENTS) else 0


@pytest.mark.parametrize("way", [over_http_as_json, over_http_in_binary, over_grpc])
def test_others_are_answered_while_millions_of_elements_are_read(pair: Pair, way: Callable[[Service], int]) -> None:
    begun = time.monotonic()
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(way, pair.transformer)
        asking = [pool.submit(longest_wait, reading, service) for service in (pair.transformer, pair.predictor)]
    took = time.monotonic() - begun
    assert reading.result() == 200
    waits = [asked.result() for asked in asking]
    assert max(waits) < took / SHARE, (waits, took)


def longest_wait(done: Future[int], service: Service) -> float:
    """Seconds that the service took for an answer meanwhile, at most."""
    longest = 0.0
    while not done.done():
        begun = time.monotonic()
        assert ask(f"{service.url}/v2/health/live").status == 200
        longest = max(longest, time.monotonic() - begun)
    return longest
