"""KServe's own clients against the pair, and KServe's own predictor behind the transformer."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.client import ask
from foreign import environment
from harness import DIGITS, ROOT, Pair, Process, Service, running_pair, start_predictor, start_transformer

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def digits() -> Iterator[Pair]:
    with running_pair("digits", (f"--model_dir={DIGITS}",), ("--transformer=identity",)) as running:
        yield running


@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_kserves_clients_get_the_same_scores_over_every_protocol(digits: Pair, service: str) -> None:
    server = getattr(digits, service)
    command = [environment("kserve") / "python", HERE / "kserve_clients.py", server.url, server.target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    scores = json.loads(done.stdout.splitlines()[-1])
    assert len(scores) == 5
    first = np.array(scores["rest v2 binary=True"])
    assert first.sum() == pytest.approx(1, abs=1e-5)
    for name, values in scores.items():
        assert np.abs(np.array(values) - first).max() <= 1e-6, name


@pytest.fixture(scope="module")
def kserve_predictor() -> Iterator[tuple[int, int]]:
    """The HTTP and gRPC port of a predictor on KServe's SDK."""
    ports = free_ports()
    flags = ("--model_name=sums", f"--http_port={ports[0]}", f"--grpc_port={ports[1]}")
    process = Process(str(environment("kserve") / "python"), str(HERE / "kserve_predictor.py"), *flags)
    try:
        yield ports
    finally:
        process.kill()


@pytest.mark.parametrize("protocol", ["grpc-v2", "v2", "v1"])
def test_the_transformer_works_in_front_of_kserves_predictor(kserve_predictor: tuple[int, int], protocol: str) -> None:
    port = kserve_predictor[protocol == "grpc-v2"]
    flags = ("--model_name=sums", "--transformer=identity", f"--predictor_protocol={protocol}")
    transformer = start_transformer(port, *flags)
    try:
        tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
        reply = ask(f"{transformer.url}/v2/models/sums/infer", "POST", {"inputs": [tensor]})
        assert reply.status == 200, reply.body
        assert reply.json["outputs"][0]["data"] == [6, 15]
    finally:
        assert transformer.process.stop() == 0


@pytest.fixture(scope="module")
def sums() -> Iterator[Service]:
    predictor = start_predictor(
        "--model_name=sums", f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models"
    )
    yield predictor
    predictor.process.stop()


@pytest.mark.parametrize("protocol", ["grpc-v2", "v2", "v1"])
def test_kserves_transformer_works_in_front_of_the_predictor(sums: Service, protocol: str) -> None:
    predictor = sums.target if protocol == "grpc-v2" else sums.url.removeprefix("http://")
    http, grpc = free_ports()
    process = Process(
        *(str(environment("kserve") / "python"), str(HERE / "kserve_transformer.py"), "--model_name=sums"),
        *(f"--predictor_host={predictor}", f"--predictor_protocol={protocol}"),
        *(f"--http_port={http}", f"--grpc_port={grpc}"),
    )
    try:
        process.wait_for(lambda line: "Uvicorn running on" in line)
        x = [[1, 2, 3], [4, 5, 6]]
        tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": x}
        v1 = protocol == "v1"
        path = "v1/models/sums:predict" if v1 else "v2/models/sums/infer"
        body: dict[str, Any] = {"instances": x} if v1 else {"id": "a", "inputs": [tensor]}
        reply = ask(f"http://127.0.0.1:{http}/{path}", "POST", body, {"content-type": "application/json"})
        assert reply.status == 200, reply.body
        assert (reply.json["predictions"] if v1 else reply.json["outputs"][0]["data"]) == [12, 30]
    finally:
        process.kill()


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
