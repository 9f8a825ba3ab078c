"""What --enable_admin shows of a pair that is stuck, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from contract.client import Reply, ask
from gates import Gates
from harness import DIGITS, ROOT, Pair, Service, running_pair
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

GATED = ROOT / "tests" / "faults" / "gated.py"
IMAGE = np.zeros((1, 8, 8), np.float32)


def infer(pair: Pair, model: str = "digits", wait: bool = True) -> Reply:
    tensor = {"name": "image", "shape": IMAGE.shape, "datatype": "FP32", "data": IMAGE.ravel().tolist()}
    body = {"id": "stuck", "inputs": [tensor], "parameters": {"wait": wait}}
    return ask(f"{pair.transformer.url}/v2/models/{model}/infer", "POST", body)


def infer_by_grpc(pair: Pair) -> str:
    message = pb.ModelInferRequest(model_name="digits", id="stuck too", raw_input_contents=[IMAGE.tobytes()])
    message.inputs.add(name="image", datatype="FP32", shape=IMAGE.shape)
    message.parameters["wait"].bool_param = True
    with grpc.insecure_channel(pair.transformer.target) as channel:
        return pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=30).id


def shown(service: Service) -> dict[str, Any]:
    reply = ask(f"{service.url}/admin")
    assert reply.status == 200
    return reply.json


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


@pytest.fixture
def gated(gates: Gates) -> Iterator[Pair]:
    options = f"--transformer_options=started={gates.started},gate={gates.gate}"
    flags = (f"--transformer={GATED}:Gated", options, "--max_threads=2", "--enable_admin")
    with running_pair("digits", (f"--model_dir={DIGITS}", "--enable_admin"), flags) as pair:
        yield pair


def test_a_request_that_hangs_is_shown_with_its_age_and_its_place_over_both_doors(gated: Pair, gates: Gates) -> None:
    with ThreadPoolExecutor(2) as pool, closing(gates):
        calls = [pool.submit(infer, gated), pool.submit(infer_by_grpc, gated)]
        gates.wait_until_started(2)
        page = shown(gated.transformer)
        gates.let_through(2)
        assert [calls[0].result().status, calls[1].result()] == [200, "stuck too"]
    requests = {request["id"]: request for request in page["requests"]}
    assert page["in_flight"] == 2
    assert {name: request["protocol"] for name, request in requests.items()} == {"stuck": "http", "stuck too": "grpc"}
    for request in requests.values():
        assert (request["model"], request["seconds"] > 0, request["bytes"] > 0) == ("digits", True, True)
        assert 0 < request["seconds_left"] <= 600
        assert request["phases_ms"].keys() == {"decode"}
        assert request["at"][-1].startswith("tandem_transformer/steps.py:")
    stuck = [stack for name, stack in page["threads"].items() if name.startswith("pipeline")]
    assert len(stuck) == 2
    assert all(stack[-1].startswith("faults/gated.py:") for stack in stuck)
    assert shown(gated.transformer)["requests"] == []


def test_gauges_settings_versions_and_the_logs_last_errors_are_shown(gated: Pair) -> None:
    assert infer(gated, wait=False).status == 200
    gated.predictor.process.kill()
    gated.transformer.process.wait_for(lambda line: "cannot be reached" in line)
    front = shown(gated.transformer)
    assert (front["service"], front["ready"]) == ("tandem-transformer", "the predictor cannot be reached")
    assert front["parts"] == {"predictor": "the predictor cannot be reached"}
    assert front["gauges"]["tandem_predictor_channel_ready"] == 0
    assert front["packages"]["grpcio"] == grpc.__version__
    assert front["settings"]["model_name"] == "digits"
    assert front["settings"]["transformer_options"] == "started=...,gate=..."
    assert front["pid"] == gated.transformer.process.process.pid
    (warning,) = [entry for entry in front["log"] if "auth_token_file" in entry["message"]]
    assert warning["level"] == "WARNING"


def test_the_queue_of_each_model_is_shown(gated: Pair) -> None:
    assert shown(gated.predictor)["gauges"]['tandem_queue_rows{model_name="digits"}'] == 0


@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_without_the_flag_there_is_nothing_to_see(pair: Pair, service: str) -> None:
    asked: Service = getattr(pair, service)
    assert ask(f"{asked.url}/admin").status == 404


def test_who_has_no_token_sees_nothing(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret-1")
    flags = ("--enable_admin", f"--auth_token_file={tmp_path / 'token'}")
    hop = f"--predictor_auth_token_file={tmp_path / 'token'}"
    with running_pair("digits", (f"--model_dir={DIGITS}", *flags), ("--transformer=identity", hop, *flags)) as pair:
        for service in (pair.transformer, pair.predictor):
            assert ask(f"{service.url}/admin").status == 401
            page = ask(f"{service.url}/admin", headers={"authorization": "Bearer secret-1"})
            assert page.status == 200
            assert b"secret-1" not in page.body
            assert page.json["log"] == []
