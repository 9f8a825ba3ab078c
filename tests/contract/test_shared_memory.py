"""Tensors in shared memory: Triton's extension through tritonclient's own utilities."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.client import ask
from foreign import grpcurl, triton
from harness import ROOT, Pair, Service, running_pair, start_predictor

SCRIPT = Path(__file__).parent / "triton_shared_memory.py"
SERVICE = "inference.GRPCInferenceService"
SUMS = (f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models", "--max_batch_size=8")


@pytest.fixture(scope="module")
def predictor() -> Iterator[Service]:
    service = start_predictor("--model_name=sums", *SUMS, "--enable_system_shared_memory")
    yield service
    assert service.process.stop() == 0


@pytest.fixture(scope="module")
def plain() -> Iterator[Pair]:
    with running_pair("sums", SUMS, ("--transformer=identity",)) as pair:
        yield pair


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_tritonclients_utilities_work_on_the_predictor(predictor: Service, door: str) -> None:
    target = predictor.target if door == "grpc" else predictor.url.removeprefix("http://")
    assert triton(SCRIPT, door, target) == "all of it\n"


def test_the_extension_is_announced_where_it_is_enabled(predictor: Service, plain: Pair) -> None:
    assert "system_shared_memory" in ask(f"{predictor.url}/v2").json["extensions"]
    for service in (plain.predictor, plain.transformer):
        assert "system_shared_memory" not in ask(f"{service.url}/v2").json["extensions"]


@pytest.mark.parametrize("service", ["predictor", "transformer"])
def test_without_the_flag_every_route_and_call_is_refused_naming_it(plain: Pair, service: str) -> None:
    server: Service = getattr(plain, service)
    flag = "--enable_system_shared_memory"
    body = json.dumps({"key": "k", "byte_size": 8}).encode()
    for method, path in (("GET", "status"), ("POST", "unregister"), ("POST", "region/a/register")):
        reply = ask(f"{server.url}/v2/systemsharedmemory/{path}", method, body if method == "POST" else None)
        assert reply.status == 400
        assert flag in reply.json["error"]
    for call in ("Status", "Register", "Unregister"):
        with pytest.raises(AssertionError, match=flag):
            grpcurl(server.target, f"{SERVICE}/SystemSharedMemory{call}")


@pytest.mark.parametrize(
    ("service", "where"),
    [
        ("predictor", "inputs"),
        ("predictor", "outputs"),
        *(("transformer", w) for w in ("inputs", "outputs", "request")),
    ],
)
def test_a_request_that_names_memory_which_is_not_offered_is_refused(plain: Pair, service: str, where: str) -> None:
    place = {"parameters": {"shared_memory_region": "a", "shared_memory_byte_size": 12}}
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3]}
    request: dict[str, Any] = {
        "inputs": [tensor | (place if where == "inputs" else {"data": [1, 2, 3]})],
        "outputs": [{"name": "sums"} | (place if where == "outputs" else {})],
    }
    request |= place if where == "request" else {}
    reply = ask(f"{getattr(plain, service).url}/v2/models/sums/infer", "POST", request)
    assert reply.status == 400, reply.body
    assert "shared memory" in reply.json["error"]
