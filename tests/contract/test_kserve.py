"""KServe's own clients against the pair, and KServe's own predictor behind the transformer."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contract.client import ask
from foreign import environment
from harness import DIGITS, Pair, Process, running_pair, start_transformer

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
    with socket.create_server(("127.0.0.1", 0)) as http, socket.create_server(("127.0.0.1", 0)) as grpc:
        ports = http.getsockname()[1], grpc.getsockname()[1]
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
