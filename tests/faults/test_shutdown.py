"""SIGTERM at any moment: what was accepted is answered, what is new is refused, the exit is clean."""

from __future__ import annotations

import http.client
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import numpy as np
import pytest
from contract.client import Reply, ask
from gates import Gates
from harness import DIGITS, Pair, running_pair
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

GATED = Path(__file__).parent / "gated.py"
IMAGE = np.arange(64, dtype=np.float32).reshape(1, 8, 8)


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


@pytest.fixture
def gated(gates: Gates) -> Iterator[Pair]:
    options = f"--transformer_options=started={gates.started},gate={gates.gate}"
    with running_pair(
        "digits", (f"--model_dir={DIGITS}",), (f"--transformer={GATED}:Gated", options, "--max_threads=4")
    ) as running:
        yield running


def rest_infer(pair: Pair, wait: bool) -> Reply:
    tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": IMAGE.ravel().tolist()}
    return ask(pair.infer_url, "POST", {"inputs": [tensor], "parameters": {"wait": wait}})


def grpc_infer(channel: grpc.Channel, wait: bool) -> pb.ModelInferResponse:
    request = pb.ModelInferRequest(model_name="digits", raw_input_contents=[IMAGE.tobytes()])
    request.inputs.add(name="image", datatype="FP32", shape=[1, 8, 8])
    request.parameters["wait"].bool_param = wait
    return pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)


def test_both_doors_answer_what_they_accepted_and_refuse_what_is_new(gated: Pair, gates: Gates) -> None:
    with ThreadPoolExecutor(4) as pool, grpc.insecure_channel(gated.transformer.target) as channel, closing(gates):
        over_http = [pool.submit(rest_infer, gated, True) for _ in range(2)]
        over_grpc = [pool.submit(grpc_infer, channel, True) for _ in range(2)]
        gates.wait_until_started(4)
        gated.transformer.process.send(signal.SIGTERM)
        gated.predictor.process.send(signal.SIGTERM)
        gated.transformer.process.wait_for(lambda line: "draining" in line)
        gated.predictor.process.wait_for(lambda line: "draining" in line)
        with pytest.raises(OSError, match=r"refused|reset"):
            until_refused(gated)
        with grpc.insecure_channel(gated.transformer.target) as late, pytest.raises(grpc.RpcError) as refused:
            grpc_infer(late, False)
        assert refused.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}  # as gRPC's core closes
        gates.let_through(4)
        assert [future.result().status for future in over_http] == [200, 200]
        assert [future.result().id != "" for future in over_grpc] == [True, True]
        assert [future.result().headers.get("connection") for future in over_http] == ["close", "close"]
    assert gated.transformer.process.end() == 0
    assert gated.predictor.process.end() == 0


def until_refused(pair: Pair) -> None:
    """Ask until the port is closed; each answer before that says that the service is not ready."""
    for _ in range(1000):
        assert ask(f"{pair.transformer.url}/v2/health/ready").status == 503


def test_the_predictor_waits_for_calls_that_are_still_in_preprocess(gated: Pair, gates: Gates) -> None:
    with ThreadPoolExecutor(1) as pool, closing(gates):
        call = pool.submit(rest_infer, gated, True)
        gates.wait_until_started(1)
        assert rest_infer(gated, False).status == 200  # the predictor has heard of others, and not of this one
        gated.predictor.process.send(signal.SIGTERM)
        gated.transformer.process.send(signal.SIGTERM)
        gated.transformer.process.wait_for(lambda line: "draining" in line)
        timer = threading.Event()
        timer.wait(2.5)  # longer than --drain_idle: only the transformer's word keeps the predictor here
        assert gated.predictor.process.process.poll() is None
        gates.let_through()
        assert call.result().status == 200
    assert gated.predictor.process.end() == 0


def test_a_stopping_predictor_is_not_ready_but_still_serves(gated: Pair, gates: Gates) -> None:
    with ThreadPoolExecutor(1) as pool, closing(gates):
        call = pool.submit(rest_infer, gated, True)
        gates.wait_until_started(1)
        gated.predictor.process.send(signal.SIGTERM)
        gated.predictor.process.wait_for(lambda line: "draining" in line)
        assert ask(f"{gated.predictor.url}/v2/health/ready").status == 503
        gates.let_through()
        assert call.result().status == 200


def test_a_second_signal_ends_the_process_at_once(gated: Pair, gates: Gates) -> None:
    with ThreadPoolExecutor(1) as pool, closing(gates):
        call = pool.submit(rest_infer, gated, True)
        gates.wait_until_started(1)
        gated.transformer.process.send(signal.SIGTERM)
        gated.transformer.process.wait_for(lambda line: "draining" in line)
        gated.transformer.process.send(signal.SIGTERM)
        assert gated.transformer.process.end() == 1
        assert isinstance(call.exception(), (OSError, http.client.HTTPException))


def test_code_that_outlasts_the_grace_does_not_keep_the_process(gates: Gates) -> None:
    options = f"--transformer_options=started={gates.started},gate={gates.gate}"
    flags = (f"--transformer={GATED}:Gated", options, "--grace=0.2")
    with running_pair("digits", (f"--model_dir={DIGITS}",), flags) as pair, ThreadPoolExecutor(1) as pool:
        call = pool.submit(rest_infer, pair, True)
        gates.wait_until_started(1)
        pair.transformer.process.send(signal.SIGTERM)
        assert pair.transformer.process.end() == 0
        assert isinstance(call.exception(), (OSError, http.client.HTTPException))
        assert "outlasted --grace" in pair.transformer.process.log
