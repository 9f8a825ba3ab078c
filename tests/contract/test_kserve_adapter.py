"""Classes written for KServe's SDK, run by Tandem as they are: KServe's own sample shapes, and what authors do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.client import ask
from foreign import environment
from harness import FLOATS_MODEL, Pair, start_predictor, start_transformer
from parts import shared

HERE = Path(__file__).parent
AUTHORED = HERE / "kserve_authored.py"


@pytest.fixture(scope="module")
def python() -> str:
    return str(environment("kserve-adapter") / "python")


@pytest.fixture(scope="module")
def samples(python: str) -> Iterator[Pair]:
    """KServe's sample shapes, both of them, unchanged."""
    peers = shared("peers")
    env = {"MODEL": str(next(FLOATS_MODEL.rglob("model.onnx"))), "THREADS": "1"}
    reference = f"--model_class=kserve:{peers / 'ks_predictor.py'}:OnnxModel"
    named = "--model_name=custom-model"
    predictor = start_predictor(named, reference, "--allow_python_models", python=python, env=env)
    try:
        own = f"--transformer=kserve:{peers / 'ks_transformer.py'}:ImageTransformer"
        transformer = start_transformer(predictor.grpc_port, named, "--protocol=grpc-v2", own, python=python)
        yield Pair(transformer, predictor, "custom-model")
        assert transformer.process.stop() == 0
    finally:
        predictor.process.stop()


def test_kserves_sample_pair_answers_the_seed_request_unchanged(samples: Pair) -> None:
    body = shared("seed/input.json").read_bytes()
    reply = ask(samples.infer_url, "POST", body, {"content-type": "application/json"})
    assert reply.status == 200, reply.body
    (output,) = reply.json["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("output-0", "FP32", [1, 5])
    print(output)
    assert sorted(output["data"], reverse=True) == output["data"]
    assert {"preprocess", "hop", "inference"} <= {
        part.partition(";")[0].strip() for part in reply.headers["server-timing"].split(",")
    }
