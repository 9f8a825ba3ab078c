"""Models that are replaced while requests come: no request fails."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.client import ask
from faults.test_shutdown import IMAGE
from harness import DIGITS, Pair, running_pair

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
