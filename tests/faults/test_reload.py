"""Models that are replaced while requests come: a reload fails none, an upgrade to other shapes none for long."""

from __future__ import annotations

import base64
import itertools
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.client import ask
from faults.test_shutdown import IMAGE
from harness import (
    DEFAULT_MODEL,
    DIGITS,
    FLOATS_MODEL,
    PHOTOS,
    Pair,
    Service,
    running_pair,
    start_predictor,
    start_transformer,
)

CLIENTS, RELOADS = 8, 12


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    (tmp_path / "digits" / "1").mkdir(parents=True)
    shutil.copy(DIGITS / "model.onnx", tmp_path / "digits" / "1")
    with running_pair(
        "digits", (f"--model_dir={tmp_path}", "--model_control=explicit"), ("--transformer=identity",)
    ) as running:
        yield running


def test_a_reload_under_load_fails_no_request(pair: Pair, tmp_path: Path) -> None:
    tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": IMAGE.ravel().tolist()}
    body = {"inputs": [tensor]}
    right = ask(pair.infer_url, "POST", body).json["outputs"]
    seen: Counter[str] = Counter()
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            reply = ask(pair.infer_url, "POST", body)
            same = reply.status == 200 and reply.json["outputs"] == right
            seen["right" if same else f"{reply.status}: {reply.body[:200]!r}"] += 1

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    try:
        for number in range(RELOADS):  # a new version, then its end again
            newer = tmp_path / "digits" / "2"
            if number % 2:
                shutil.rmtree(newer)
            else:
                shutil.copytree(tmp_path / "digits" / "1", newer)
            reply = ask(f"{pair.predictor.url}/v2/repository/models/digits/load", "POST", {})
            assert reply.status == 200, reply.body
            version = ask(pair.infer_url, "POST", body).json["model_version"]
            assert version == ("1" if number % 2 else "2")
    finally:
        over.set()
        for thread in clients:
            thread.join()
    assert set(seen) == {"right"}


def test_a_predictor_with_a_model_of_other_shapes_is_followed_without_a_restart() -> None:
    text = base64.b64encode((PHOTOS / "coffee.jpg").read_bytes()).decode()
    body = {"inputs": [{"name": "input-0", "shape": [1], "datatype": "BYTES", "data": [text]}]}

    def label(service: Service) -> str:
        while (reply := ask(f"{service.url}/v2/models/custom-model/infer", "POST", body)).status != 200:
            assert reply.status == 503, reply.body
        labels = next(output for output in reply.json["outputs"] if output["name"] == "labels")
        return str(labels["data"][0])

    predictor = start_predictor(f"--model_dir={DEFAULT_MODEL}", "--model_name=custom-model")
    transformer = start_transformer(predictor.grpc_port, "--model_name=custom-model")
    try:
        assert predicted_shape(predictor) == [-1, 224, 224, 3]
        assert label(transformer) == "espresso"
        assert predictor.process.stop() == 0
        flags = (f"--model_dir={FLOATS_MODEL}", "--model_name=custom-model")
        predictor = start_predictor(*flags, grpc_port=predictor.grpc_port)
        assert predicted_shape(predictor) == [-1, 3, 224, 224]
        times = itertools.count(1)
        transformer.process.wait_for(lambda line: '"predictor: ready"' in line and next(times) == 2)
        assert label(transformer) == "espresso"
    finally:
        transformer.process.stop()
        predictor.process.stop()


def predicted_shape(predictor: Service) -> list[int]:
    shape: list[int] = ask(f"{predictor.url}/v2/models/custom-model").json["inputs"][0]["shape"]
    return shape
